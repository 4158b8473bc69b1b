package cloud

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
)

// AddAssociation that somebody made by hand.
func (c *Cloud) AddAssociation(cluster, namespace, serviceAccount, roleARN string) {
	c.do(func() {
		id := c.associationID()
		c.associations[id] = &cloudapi.Association{ID: id, ARN: associationARN(cluster, id), Region: "eu-west-1", ClusterName: cluster, Namespace: namespace, ServiceAccount: serviceAccount, RoleARN: roleARN}
	})
}

// AddTargetAssociation that somebody made by hand, with a target role.
func (c *Cloud) AddTargetAssociation(cluster, namespace, serviceAccount, roleARN, targetRoleARN string) {
	c.AddAssociation(cluster, namespace, serviceAccount, roleARN)
	c.do(func() {
		for _, a := range c.associations {
			if a.ClusterName == cluster && a.Namespace == namespace && a.ServiceAccount == serviceAccount {
				a.TargetRoleARN = targetRoleARN
			}
		}
	})
}

// RemoveAssociations of a namespace, as somebody does by hand.
func (c *Cloud) RemoveAssociations(namespace string) {
	c.do(func() {
		maps.DeleteFunc(c.associations, func(_ string, a *cloudapi.Association) bool { return a.Namespace == namespace })
	})
}

// RemoveAssociation of a ServiceAccount of a cluster, as somebody does by hand.
func (c *Cloud) RemoveAssociation(cluster, namespace, serviceAccount string) {
	c.do(func() {
		maps.DeleteFunc(c.associations, func(_ string, a *cloudapi.Association) bool {
			return a.ClusterName == cluster && a.Namespace == namespace && a.ServiceAccount == serviceAccount
		})
	})
}

// UntagAssociations of a namespace, as those are that somebody made by hand.
func (c *Cloud) UntagAssociations(namespace string) {
	c.do(func() {
		for _, a := range c.associations {
			if a.Namespace == namespace {
				a.Tags = nil
			}
		}
	})
}

// associationID looks like one of EKS, with 17 letters and digits.
func (c *Cloud) associationID() string { return fmt.Sprintf("a-%017s", c.id()) }

func associationARN(cluster, id string) string {
	return fmt.Sprintf("arn:aws:eks:eu-west-1:%s:podidentityassociation/%s/%s", AccountID, cluster, id)
}

func (c *Cloud) associationContents() []string {
	lines := make([]string, 0, len(c.associations))
	for _, a := range c.associations {
		lines = append(lines, fmt.Sprintf("association %s %s/%s -> %s", a.ClusterName, a.Namespace, a.ServiceAccount, a.RoleARN))
	}
	return lines
}

func (x *call) describeEKS() {
	a := in[cloudapi.Association](x)
	x.kind, x.namespace, x.creates = "PodIdentityAssociation", a.Namespace, x.action == cloudapi.CreatePodIdentityAssociation
	x.scope = fmt.Sprintf("arn:aws:eks:eu-west-1:%s:cluster/%s", AccountID, a.ClusterName)
	if a.ID != "" {
		x.scope = associationARN(a.ClusterName, a.ID)
	}
}

func eksAnswers() map[string]answer {
	tagAssociation := func(x *call) (any, *cloudapi.Error) {
		r := in[cloudapi.IAMRequest](x)
		for _, a := range x.associations {
			if a.ARN == r.PolicyARN {
				a.Tags = tag(a.Tags, r)
			}
		}
		return cloudapi.Nothing{}, nil
	}
	return map[string]answer{
		cloudapi.CreatePodIdentityAssociation: associate,
		cloudapi.DescribePodIdentityAssociation: func(x *call) (any, *cloudapi.Error) {
			a, failed := x.association()
			if failed != nil {
				return nil, failed
			}
			return *a, nil
		},
		cloudapi.UpdatePodIdentityAssociation: reassociate,
		cloudapi.DeletePodIdentityAssociation: func(x *call) (any, *cloudapi.Error) {
			a, failed := x.association()
			if failed != nil {
				return nil, failed
			}
			delete(x.associations, a.ID)
			x.wrotef("delete association %s/%s", a.Namespace, a.ServiceAccount)
			return cloudapi.Nothing{}, nil
		},
		cloudapi.TagResource:   tagAssociation,
		cloudapi.UntagResource: tagAssociation,
	}
}

func (x *call) association() (*cloudapi.Association, *cloudapi.Error) {
	q := in[cloudapi.Association](x)
	a := x.associations[q.ID]
	if a == nil || a.ClusterName != q.ClusterName {
		return nil, &cloudapi.Error{Status: http.StatusNotFound, Code: "ResourceNotFoundException", Message: "The association you specified does not exist: " + q.ID}
	}
	return a, nil
}

// checkRole as EKS does: it must be there, and its trust policy must let EKS Pod
// Identity in. Whoever associates it must be allowed to pass it
// (EKS API reference, CreatePodIdentityAssociation).
func (x *call) checkRole(arn string) *cloudapi.Error {
	x.calls["iam:PassRole"]++
	x.calls[cloudapi.GetRole]++
	invalid := func(message string) *cloudapi.Error {
		return &cloudapi.Error{Status: http.StatusBadRequest, Code: "InvalidParameterException", Message: message}
	}
	r := x.roles[arn[strings.LastIndex(arn, "/")+1:]]
	switch {
	case r == nil || r.ARN != arn || time.Since(r.made) < 2*propagation:
		return invalid("Role provided in the request does not exist")
	case !letsPodsIn(r.AssumeRolePolicy):
		return invalid("Trust policy of the role provided is invalid. Follow the official documentation to resolve the issue.")
	default:
		return nil
	}
}

// associate a role with a service account, of which there is one in a cluster.
func associate(x *call) (any, *cloudapi.Error) {
	q := in[cloudapi.Association](x)
	if failed := x.checkRole(q.RoleARN); failed != nil {
		return nil, failed
	}
	for id, a := range x.associations {
		if a.ClusterName == q.ClusterName && a.Namespace == q.Namespace && a.ServiceAccount == q.ServiceAccount {
			return nil, &cloudapi.Error{Status: http.StatusConflict, Code: "ResourceInUseException", Message: "Association already exists: " + id}
		}
	}
	q.ID = x.associationID()
	q.ARN = associationARN(q.ClusterName, q.ID)
	x.associations[q.ID] = &q
	x.wrotef("create association %s/%s", q.Namespace, q.ServiceAccount)
	return q, nil
}

// reassociate with another role. A target role that isn't in the request stays.
func reassociate(x *call) (any, *cloudapi.Error) {
	q := in[cloudapi.Association](x)
	a, failed := x.association()
	if failed == nil {
		failed = x.checkRole(q.RoleARN)
	}
	if failed != nil {
		return nil, failed
	}
	a.RoleARN, a.DisableSessionTags = q.RoleARN, q.DisableSessionTags
	if q.TargetRoleARN != "" {
		a.TargetRoleARN = q.TargetRoleARN
	}
	x.wrotef("update association %s/%s", a.Namespace, a.ServiceAccount)
	return *a, nil
}
