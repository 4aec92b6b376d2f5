# The old revision's set is used again although its template comes back completed, and its revision moves up.
apply basic.yaml
until phase Healthy
release shop:v2
until phase Paused
promote full
until revision 2 stable
undo
until phase Paused
promote full
until revision 3 stable
until phase Healthy
# The manifest in a repository has the short form of the same template; a sync changes nothing.
release shop:v1
wait 10s
expect phase Healthy
expect revision 3 stable
undo
until phase Paused
promote full
until revision 4 stable
until phase Healthy
