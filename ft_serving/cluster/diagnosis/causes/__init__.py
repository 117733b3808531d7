"""The causes of failed deployments: functions from a snapshot to findings.

Each looks at the present state; `verdict.GRACE_S` says how long a finding has to last.
"""
