# Five errors in a row end the analysis, and with it the update (consecutiveErrorLimit is 4).
apply slow-canary.yaml
until phase Healthy
metrics fail
release shop:v2
until phase Degraded
expect message Error
until weight 0
