# A version that fails a third of its requests is taken back: traffic first, pods later.
apply canary.yaml
until phase Healthy
release shop:v2 simulation.sluice.dev/error-rate=0.33
until phase Degraded
until weight 0
expect message Metric "success-rate" assessed Failed
expect service canary selects 1
until revision 2 gone
# The next version is good.
release shop:v3
until revision 3 stable
until phase Healthy
