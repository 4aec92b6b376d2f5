# A plugin that nobody provides is a condition; nothing is made up. Another Rollout is not touched by it.
apply acme.yaml
until phase Degraded
expect message InvalidSpec
apply books.yaml
until phase Healthy
release books:v2
until revision 2 stable
until phase Healthy
# Once the plugin is there, work goes on.
rollout shop
plugin working-router
until phase Healthy
