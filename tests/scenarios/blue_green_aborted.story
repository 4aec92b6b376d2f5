# An aborted blue-green update never touches the active Service; the preview pods go after thirty seconds.
apply blue-green.yaml
until phase Healthy
release shop:v2
until phase Paused
abort
until phase Degraded
expect service active selects 1
until revision 2 gone
# Going back to the stable template needs no steps.
release shop:v1
until phase Healthy
expect revision 3 stable
