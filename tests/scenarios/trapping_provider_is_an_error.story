# A metric provider whose code traps: each trap is an error of the measurement, and five in a row end the analysis, as with
# every other provider.
plugin trapping-provider
apply acme-metrics.yaml
until phase Healthy
release shop:v2
until phase Degraded
expect message Error
until revision 2 gone
