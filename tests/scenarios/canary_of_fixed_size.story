# The canary's size is fixed by its steps: pods before any traffic, then as many as the weight says.
apply manual.yaml
set strategy.canary.steps [{"setCanaryScale": {"replicas": 2}}, {"pause": {}}, {"setWeight": 10}, {"pause": {}}, {"setCanaryScale": {"weight": 75}}, {"pause": {}}, {"setCanaryScale": {"matchTrafficWeight": true}}, {"setWeight": 50}, {"pause": {}}]
until phase Healthy
release shop:v2
until phase Paused
expect weight 0
expect pods 2 2/2
promote
until step 3
expect weight 10
expect pods 2 2/2
promote
until step 5
expect weight 10
expect pods 2 3/3
promote
until step 8
expect weight 50
expect pods 2 2/2
promote full
until revision 2 stable
until phase Healthy
