package admission_test

import (
	"testing"

	_ "github.com/google/go-cmp/cmp"
	_ "github.com/serviceconnections/function-service-connections/fn/workload"
	_ "pgregory.net/rapid"
)

func TestCompile(t *testing.T) {
	compile(t)
}
