# A metric provider that nobody provides is an error of each measurement, with upstream's words; five in a row end the
# analysis.
apply acme-metrics.yaml
until phase Healthy
release shop:v2
until phase Degraded
expect message Error
until revision 2 gone
# Once the plugin is there, the update is tried again.
plugin working-provider
retry
until phase Paused
promote
until revision 2 stable
until phase Healthy
