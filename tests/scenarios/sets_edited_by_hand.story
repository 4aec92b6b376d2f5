# Half-way through an update somebody takes owner, label and size from the sets: nothing moves, everything comes back.
apply manual.yaml
until phase Healthy
release shop:v2
until phase Paused
edit set 1 {"metadata":{"ownerReferences":null}}
wait 5s
expect phase Paused
edit set 2 {"metadata":{"ownerReferences":null}}
wait 5s
edit set 1 {"metadata":{"labels":{"rollouts-pod-template-hash":null}}}
wait 5s
expect revision 1 stable
edit set 2 {"metadata":{"labels":{"rollouts-pod-template-hash":"mine"}}}
wait 5s
edit set 1 {"spec":{"replicas":1}}
wait 5s
edit set 2 {"spec":{"template":{"spec":{"containers":[{"name":"app","image":"shop:debug"}]}}}}
wait 5s
expect phase Paused
expect weight 20
promote
until step 3
promote
until revision 2 stable
