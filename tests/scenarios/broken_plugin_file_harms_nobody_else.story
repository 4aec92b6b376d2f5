# A file in the directory of plugins is no component. Whoever needs what it should have been is told; whoever needs the
# plugins beside it goes on.
plugin broken-file
apply acme-books.yaml
until phase Degraded
expect message InvalidSpec
apply canary.yaml
until phase Healthy
release shop:v2
until revision 2 stable
until phase Healthy
# Mended, it is found at the next start.
rollout books
plugin working-router
until phase Healthy
