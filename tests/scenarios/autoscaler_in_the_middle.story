# An autoscaler changes the number of pods at 20 %: both sets follow, the step stays.
apply manual.yaml
until phase Healthy
release shop:v2
until phase Paused
scale 8
wait 20s
expect step 1
expect weight 20
scale 2
wait 20s
expect weight 20
promote full
until revision 2 stable
until phase Healthy
