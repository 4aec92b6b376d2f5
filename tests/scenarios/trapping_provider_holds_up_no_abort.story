# The same, and somebody aborts before the fifth error.
plugin trapping-provider
apply acme-metrics.yaml
until phase Healthy
release shop:v2
until phase Paused
wait 15s
expect phase Paused
abort
until phase Degraded
until revision 2 gone
# A mended plugin comes, and the update is tried again.
plugin working-provider
retry
until phase Paused
promote
until revision 2 stable
until phase Healthy
