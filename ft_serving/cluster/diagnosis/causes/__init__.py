"""What keeps deployments from becoming ready: a function a topic, from a snapshot to findings.

Each looks at the state as it is; how long a finding may hold before it counts is `verdict.GRACE_S`.
"""
