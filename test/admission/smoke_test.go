package admission_test
import ("testing"
_ "github.com/serviceconnections/function-service-connections/fn/connection"
"pgregory.net/rapid"
_ "github.com/google/go-cmp/cmp"
_ "github.com/serviceconnections/function-service-connections/fn/workload"
)
var _ = rapid.Int
func TestCompile(t *testing.T){ compile(t) }
