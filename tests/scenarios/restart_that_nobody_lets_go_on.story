# A disruption budget of none refuses every eviction: the update goes on all the same, and the restart once the budget is gone.
apply basic.yaml
until phase Healthy
release shop:v2
until phase Paused
apply no-disruption.yaml
wait 10s
restart pods
wait 5s
expect pods 1 4/4
expect pods 2 1/1
promote
until revision 2 stable
until revision 1 gone
expect pods 2 5/5
until message restarting
wait 40s
expect message restarting
delete poddisruptionbudget shop
until phase Healthy
expect pods 2 5/5
