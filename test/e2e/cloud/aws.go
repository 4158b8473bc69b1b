package cloud

import (
	"fmt"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
)

// unexpected writes are the function's mistake: it must never ask for one.
func unexpected(verb string, m *managedResource) error {
	return fmt.Errorf("the function asks to %s %s %q, which it may only observe", verb, m.Kind, m.externalName())
}

// associations of EKS. AWS gives each its id, and allows one for a service
// account (EKS API reference, CreatePodIdentityAssociation).
type associations struct{ *Cloud }

func wantedAssociation(m *managedResource) association {
	return association{m.text("clusterName"), m.text("namespace"), m.text("serviceAccount"), m.text("roleArn"), m.text("targetRoleArn")}
}

func (c associations) observe(m *managedResource) (observation, error) {
	a, ok := c.associations[m.externalName()]
	if !ok {
		return observation{}, nil
	}
	return observation{exists: true, upToDate: a == wantedAssociation(m), at: map[string]any{
		"associationId": m.externalName(), "id": m.externalName(), "roleArn": a.roleARN,
	}}, nil
}

func (c associations) create(m *managedResource) error {
	want := wantedAssociation(m)
	for _, id := range sortedKeys(c.associations) {
		a := c.associations[id]
		if a.cluster == want.cluster && a.namespace == want.namespace && a.serviceAccount == want.serviceAccount {
			return fmt.Errorf("failed to create the resource: [{0 creating EKS (Elastic Kubernetes) Pod Identity Association (%s): operation error EKS: CreatePodIdentityAssociation, https response error StatusCode: 409, RequestID: 00000000-0000-4000-8000-%s, ResourceInUseException: Association already exists: %s  []}]", want.serviceAccount, pad(c.id("")), id)
		}
	}
	id := c.id("a-")
	c.associations[id] = want
	meta.SetExternalName(m, id)
	c.wrotef("create association %s/%s", want.namespace, want.serviceAccount)
	return nil
}

func (c associations) update(m *managedResource) error {
	want, a := wantedAssociation(m), c.associations[m.externalName()]
	if a.cluster != want.cluster || a.namespace != want.namespace || a.serviceAccount != want.serviceAccount {
		return fmt.Errorf("refuse to update the external resource because the following update requires replacing it: clusterName, namespace, serviceAccount")
	}
	c.associations[m.externalName()] = want
	c.wrotef("update association %s/%s", want.namespace, want.serviceAccount)
	return nil
}

func (c associations) remove(m *managedResource) error {
	a := c.associations[m.externalName()]
	delete(c.associations, m.externalName())
	c.wrotef("delete association %s/%s", a.namespace, a.serviceAccount)
	return nil
}
