# Somebody deletes the new set half-way, and then the stable one: the first comes back, without the second the new one takes over.
apply manual.yaml
until phase Healthy
release shop:v2
until phase Paused
delete set 2
wait 10s
expect phase Paused
delete set 1
until revision 2 stable
until phase Healthy
# And the only one.
delete set 2
wait 10s
until phase Healthy
