# At 50 % a third version comes, subsets are split, and the router fails: the subset stays with the set that carries the
# traffic until that traffic has left.
apply subsets.yaml
until phase Healthy
release shop:v2
until phase Paused
promote
until step 3
expect weight 50
fail writes virtualservices
fail writes destinationrules
release shop:v3
wait 1m
expect weight 50
expect subset canary selects 2
expect pods 2 2/2
heal
until subset canary selects 3
until step 1
expect weight 20
until revision 2 gone
