# A router that traps when it is asked whether its configuration is usable: the Rollout is neither valid nor InvalidSpec,
# pods and status go on, and the update does not move traffic.
plugin working-router
apply acme.yaml
until phase Healthy
release shop:v2
until phase Paused
plugin router-with-trapping-check
wait 30s
promote
wait 30s
abort
until phase Degraded
plugin working-router
until revision 2 gone
