// Command pulumi-resource-kubernetes is Pulumi's kubernetes plugin.
//
// Upstream's own command embeds a file that only upstream's build makes. The module's schema.json,
// which the platform's build copies to this folder, is the same without the version.
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

//go:embed schema.json
var schema []byte

func main() {
	// The last one maps names of Terraform's provider, for conversions that nobody asks for here.
	provider.Serve("kubernetes", version.Version, schema, []byte("{}"))
}
