# Somebody aborts at 20 %, then tries again and promotes by hand.
apply manual.yaml
until phase Healthy
release shop:v2
until step 1
expect phase Paused
abort
until phase Degraded
until weight 0
expect step 0
retry
until phase Paused
expect weight 20
promote
until step 3
expect weight 50
promote
until revision 2 stable
until phase Healthy
