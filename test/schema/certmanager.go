package schema

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/serviceconnections/function-service-connections/test/modules"
)

// CertManager returns a Validator of cert-manager's kinds that a certificate takes, at
// the version of tools/cert-manager/go.mod. The test fails if they can't be read.
func CertManager(tb testing.TB) *Validator {
	tb.Helper()

	v, err := certManager()
	if err != nil {
		tb.Fatalf("cannot load cert-manager's CustomResourceDefinitions: %v", err)
	}

	return v
}

var certManager = sync.OnceValues(func() (*Validator, error) {
	const module = "github.com/cert-manager/cert-manager"

	dirs, err := modules.Dirs(context.Background(), "cert-manager", module)
	if err != nil {
		return nil, err
	}

	var crds []*apiextensionsv1.CustomResourceDefinition

	for _, name := range []string{"certificates", "issuers"} {
		crd, err := read(filepath.Join(dirs[module], "deploy", "crds", "cert-manager.io_"+name+".yaml"))
		if err != nil {
			return nil, err
		}

		crds = append(crds, crd)
	}

	return New(crds...), nil
})
