# An autoscaler that never rests: another size every quarter of a second, at 20 % and on the way to 50 %. The step goes on,
# the weight never meets a set that cannot carry it, the stable set is never without pods.
apply manual.yaml
until phase Healthy
release shop:v2
until phase Paused
scale 9
wait 250ms
scale 6
wait 250ms
scale 11
wait 250ms
scale 3
wait 250ms
scale 10
wait 250ms
expect step 1
expect weight 20
promote
scale 12
wait 250ms
scale 8
wait 250ms
scale 14
wait 250ms
scale 5
wait 250ms
scale 16
wait 250ms
scale 7
wait 250ms
scale 10
until step 3
expect weight 50
until pods 2 5/5
promote full
scale 6
wait 250ms
scale 12
until revision 2 stable
scale 8
until phase Healthy
until revision 1 gone
