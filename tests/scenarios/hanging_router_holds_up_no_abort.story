# A router that asks a server which never answers: an abort in the middle of it is seen at once.
plugin asking-router
apply acme.yaml
until phase Healthy
release shop:v2
until phase Paused
expect step 1
metrics hang
promote
wait 5s
expect step 2
abort
until phase Degraded
metrics answer
until revision 2 gone
