# A Service that does not exist is a condition; nothing is made up. When it appears, work goes on.
apply manual-without-canary-service.yaml
until phase Degraded
expect message service "canary" not found
apply canary-service.yaml
until phase Healthy
