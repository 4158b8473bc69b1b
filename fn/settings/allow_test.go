package settings_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/settings"
)

const (
	cluster = `{cluster: {name: c}}`
	aws     = `{cluster: {name: c}, aws: {accountId: "123456789012", region: eu-west-1, clusterName: c}}`
	azure   = `{cluster: {name: c}, azure: {subscriptionId: aaaaaaaa-1111-2222-3333-444444444444, tenantId: 00000000-1111-2222-3333-444444444444, oidcIssuer: "https://example.com/"}}`
	gcp     = `{cluster: {name: c}, gcp: {projectId: my-project}}`
)

func TestAllowsRole(t *testing.T) {
	t.Parallel()

	const role = "arn:aws:iam::123456789012:role/my-app"

	list := func(l string) string { return `{aws: {allowedRoles: ` + l + `}}` }

	cases := map[string]struct {
		reason    string
		base      string
		list      string
		namespace string
		arn       string
		want      settings.Decision
	}{
		"NoSection":        {reason: "No section, no list.", base: cluster, arn: role, want: settings.Absent},
		"NoList":           {reason: "No list grants nothing new and takes nothing.", arn: role, want: settings.Absent},
		"Null":             {reason: "Null is no list.", list: list(`null`), arn: role, want: settings.Absent},
		"Empty":            {reason: "An empty list excludes all.", list: list(`[]`), arn: role, want: settings.Excluded},
		"Name":             {reason: "A name is a pattern.", list: list(`[{pattern: my-app, namespaces: [team-a]}]`), arn: role, want: settings.Allowed},
		"NamePattern":      {reason: "A star stands for any characters.", list: list(`[{pattern: "my-*", namespaces: [team-a]}]`), arn: role, want: settings.Allowed},
		"NameIsAnchored":   {reason: "A pattern is of the whole name.", list: list(`[{pattern: app, namespaces: [team-a]}]`), arn: role, want: settings.Excluded},
		"Case":             {reason: "IAM tells cases apart where it grants.", list: list(`[{pattern: My-App, namespaces: [team-a]}]`), arn: role, want: settings.Excluded},
		"Path":             {reason: "A name has the same meaning under any path.", list: list(`[{pattern: my-app, namespaces: [team-a]}]`), arn: "arn:aws:iam::123456789012:role/teams/a/my-app", want: settings.Allowed},
		"PathIsNoName":     {reason: "A path is no part of the name.", list: list(`[{pattern: "my-*", namespaces: [team-a]}]`), arn: "arn:aws:iam::123456789012:role/my-path/admin", want: settings.Excluded},
		"OtherAccount":     {reason: "A bare pattern is of the cluster's account only.", list: list(`[{pattern: "*", namespaces: ["*"]}]`), arn: "arn:aws:iam::210987654321:role/my-app", want: settings.Excluded},
		"OtherPartition":   {reason: "An account of another partition is another account.", list: list(`[{pattern: "*", namespaces: ["*"]}]`), arn: "arn:aws-cn:iam::123456789012:role/my-app", want: settings.Excluded},
		"NotARole":         {reason: "Other ARNs aren't roles.", list: list(`[{pattern: "*", namespaces: ["*"]}]`), arn: "arn:aws:iam::123456789012:user/my-app", want: settings.Excluded},
		"ARN":              {reason: "A full ARN reaches into other accounts.", list: list(`[{pattern: "arn:aws:iam::210987654321:role/my-app", namespaces: [team-a]}]`), arn: "arn:aws:iam::210987654321:role/my-app", want: settings.Allowed},
		"ARNPattern":       {reason: "A full ARN may be a pattern, with a path.", list: list(`[{pattern: "arn:aws:iam::210987654321:role/teams/a/*", namespaces: [team-a]}]`), arn: "arn:aws:iam::210987654321:role/teams/a/my-app", want: settings.Allowed},
		"ARNOtherPath":     {reason: "The path counts in an ARN.", list: list(`[{pattern: "arn:aws:iam::210987654321:role/teams/a/*", namespaces: [team-a]}]`), arn: "arn:aws:iam::210987654321:role/teams/b/my-app", want: settings.Excluded},
		"ARNPartition":     {reason: "An ARN of another partition can be named.", list: list(`[{pattern: "arn:aws-cn:iam::210987654321:role/*", namespaces: [team-a]}]`), arn: "arn:aws-cn:iam::210987654321:role/my-app", want: settings.Allowed},
		"China":            {reason: "Bare patterns are of the cluster's own partition.", list: `{aws: {region: cn-north-1, allowedRoles: [{pattern: my-app, namespaces: [team-a]}]}}`, arn: "arn:aws-cn:iam::123456789012:role/my-app", want: settings.Allowed},
		"OtherNamespace":   {reason: "A rule is for its namespaces.", list: list(`[{pattern: "*", namespaces: [team-b]}]`), arn: role, want: settings.Excluded},
		"NamespacePattern": {reason: "Namespaces may be patterns.", list: list(`[{pattern: "*", namespaces: ["x", "team-*"]}]`), arn: role, want: settings.Allowed},
		"AllNamespaces":    {reason: "A star is all of them.", list: list(`[{pattern: "*", namespaces: ["*"]}]`), namespace: "anything", arn: role, want: settings.Allowed},
		"SecondRule":       {reason: "One rule that allows is enough.", list: list(`[{pattern: "arn:aws:iam::1*", namespaces: [x]}, {pattern: "arn:aws:iam::2*", namespaces: [team-a]}, {pattern: my-app, namespaces: [team-a]}]`), arn: role, want: settings.Allowed},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			base, namespace := tc.base, tc.namespace
			if base == "" {
				base = aws
			}

			if namespace == "" {
				namespace = "team-a"
			}

			s := decode(t, base, tc.list)
			if got := s.AllowsRole(namespace, tc.arn); got != tc.want {
				t.Errorf("%s\nwant %s, got %s", tc.reason, tc.want, got)
			}

			scope := s.For(namespace)
			if got := scope.AllowsRole(namespace, tc.arn); got != tc.want {
				t.Errorf("%s\nFor(%q): want %s, got %s", tc.reason, namespace, tc.want, got)
			}

			if diff := cmp.Diff(decode(t, base, tc.list), s); diff != "" {
				t.Errorf("For(%q) changed the settings: -were, +are:\n%s", namespace, diff)
			}
		})
	}
}

func TestAllowsIdentity(t *testing.T) {
	t.Parallel()

	const own = "aaaaaaaa-1111-2222-3333-444444444444"

	list := func(l string) string { return `{azure: {allowedIdentities: ` + l + `}}` }

	cases := map[string]struct {
		reason       string
		base         string
		list         string
		subscription string
		want         settings.Decision
	}{
		"NoSection":         {reason: "No section, no list.", base: cluster, want: settings.Absent},
		"NoList":            {reason: "No list grants nothing new and takes nothing.", want: settings.Absent},
		"Null":              {reason: "Null is no list.", list: list(`null`), want: settings.Absent},
		"Empty":             {reason: "An empty list excludes all.", list: list(`[]`), want: settings.Excluded},
		"Exact":             {reason: "All parts agree.", list: list(`[{resourceGroup: rg-a, identity: my-identity, namespaces: [team-a]}]`), want: settings.Allowed},
		"Folded":            {reason: "Azure knows no case in names.", list: list(`[{resourceGroup: RG-*, identity: My-Identity, namespaces: [team-a]}]`), want: settings.Allowed},
		"OtherGroup":        {reason: "The group counts.", list: list(`[{resourceGroup: rg-b, identity: "*", namespaces: [team-a]}]`), want: settings.Excluded},
		"OtherIdentity":     {reason: "The name counts.", list: list(`[{resourceGroup: "*", identity: other, namespaces: [team-a]}]`), want: settings.Excluded},
		"OtherNamespace":    {reason: "A rule is for its namespaces.", list: list(`[{resourceGroup: "*", identity: "*", namespaces: [team-b]}]`), want: settings.Excluded},
		"NamespacesFold":    {reason: "Namespaces are Kubernetes', which knows case.", list: list(`[{resourceGroup: "*", identity: "*", namespaces: [TEAM-A]}]`), want: settings.Excluded},
		"AllNamespaces":     {reason: "A star is all of them.", list: list(`[{resourceGroup: "*", identity: "*", namespaces: ["*"]}]`), want: settings.Allowed},
		"OtherSubscription": {reason: "A rule is of the cluster's subscription unless it names another.", list: list(`[{resourceGroup: "*", identity: "*", namespaces: ["*"]}]`), subscription: "bbbbbbbb-1111-2222-3333-444444444444", want: settings.Excluded},
		"NamedSubscription": {reason: "A rule may name another subscription, in any case.", list: list(`[{subscriptionId: BBBBBBBB-1111-2222-3333-444444444444, resourceGroup: "*", identity: "*", namespaces: ["*"]}]`), subscription: "bbbbbbbb-1111-2222-3333-444444444444", want: settings.Allowed},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			base, subscription := tc.base, tc.subscription
			if base == "" {
				base = azure
			}

			if subscription == "" {
				subscription = own
			}

			s := decode(t, base, tc.list)
			if got := s.AllowsIdentity("team-a", subscription, "rg-a", "my-identity"); got != tc.want {
				t.Errorf("%s\nwant %s, got %s", tc.reason, tc.want, got)
			}

			scope := s.For("team-a")
			if got := scope.AllowsIdentity("team-a", subscription, "rg-a", "my-identity"); got != tc.want {
				t.Errorf("%s\nFor(team-a): want %s, got %s", tc.reason, tc.want, got)
			}
		})
	}
}

func TestAllowsGoogleServiceAccount(t *testing.T) {
	t.Parallel()

	const email = "my-account@my-project.iam.gserviceaccount.com"

	list := func(l string) string { return `{gcp: {serviceAccounts: ` + l + `}}` }

	cases := map[string]struct {
		reason string
		base   string
		list   string
		want   settings.Decision
	}{
		"NoSection":      {reason: "No section, no list.", base: cluster, want: settings.Absent},
		"NoList":         {reason: "No list grants nothing new and takes nothing.", want: settings.Absent},
		"Null":           {reason: "Null is no list.", list: list(`null`), want: settings.Absent},
		"Empty":          {reason: "An empty list knows no account.", list: list(`[]`), want: settings.Unregistered},
		"ID":             {reason: "An id is of the cluster's project.", list: list(`[{name: my-account, namespaces: [team-a]}]`), want: settings.Allowed},
		"Email":          {reason: "An e-mail is of any project.", list: list(`[{name: ` + email + `, namespaces: [team-a]}]`), want: settings.Allowed},
		"OtherProject":   {reason: "The same id in another project is another account.", list: list(`[{name: my-account@other.iam.gserviceaccount.com, namespaces: ["*"]}]`), want: settings.Unregistered},
		"OtherNamespace": {reason: "It is registered, though not for this namespace.", list: list(`[{name: my-account, namespaces: [team-b]}]`), want: settings.Excluded},
		"AllNamespaces":  {reason: "A star is all of them.", list: list(`[{name: my-account, namespaces: ["*"]}]`), want: settings.Allowed},
		"SecondEntry":    {reason: "By id and by e-mail, one entry that allows is enough.", list: list(`[{name: my-account, namespaces: [team-b]}, {name: ` + email + `, namespaces: [team-a]}]`), want: settings.Allowed},
		"NoPattern":      {reason: "Accounts are registered one by one.", list: list(`[{name: other-account, namespaces: ["*"]}]`), want: settings.Unregistered},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			base := tc.base
			if base == "" {
				base = gcp
			}

			if got := decode(t, base, tc.list).AllowsGoogleServiceAccount("team-a", email); got != tc.want {
				t.Errorf("%s\nwant %s, got %s", tc.reason, tc.want, got)
			}
		})
	}
}

func TestGoogleEmail(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason  string
		project string
		name    string
		want    string
	}{
		"ID":           {reason: "An id is of the cluster's project.", project: "my-project", name: "my-account", want: "my-account@my-project.iam.gserviceaccount.com"},
		"Email":        {reason: "An e-mail is complete.", project: "my-project", name: "a@b.iam.gserviceaccount.com", want: "a@b.iam.gserviceaccount.com"},
		"DomainScoped": {reason: "A domain-scoped project's parts are reversed.", project: "example.com:my-project", name: "my-account", want: "my-account@my-project.example.com.iam.gserviceaccount.com"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := decode(t, gcp, `{gcp: {projectId: "`+tc.project+`"}}`).GoogleEmail(tc.name); got != tc.want {
				t.Errorf("%s\nwant %s, got %s", tc.reason, tc.want, got)
			}
		})
	}
}

func TestAllowsDisk(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason string
		disks  string
		want   settings.Decision
		rule   string
	}{
		"NoList":         {reason: "No list leaves teams their own volume claims.", want: settings.Absent},
		"Null":           {reason: "Null is no list.", disks: `disks: null`, want: settings.Absent},
		"Empty":          {reason: "An empty list knows no disk.", disks: `disks: []`, want: settings.Unregistered},
		"Other":          {reason: "The list doesn't know the disk.", disks: `disks: [{name: other, namespaces: ["*"]}]`, want: settings.Unregistered},
		"Allowed":        {reason: "The rule comes with the answer.", disks: `disks: [{name: other, namespaces: [a]}, {name: cache, namespaces: [team-a]}]`, want: settings.Allowed, rule: "cache"},
		"AllNamespaces":  {reason: "A star is all of them.", disks: `disks: [{name: cache, namespaces: ["*"]}]`, want: settings.Allowed, rule: "cache"},
		"OtherNamespace": {reason: "The rule says for whom it is.", disks: `disks: [{name: cache, namespaces: [team-b]}]`, want: settings.Excluded, rule: "cache"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, rule := decode(t, cluster, tc.disks).AllowsDisk("team-a", "cache")

			ruleName := ""
			if rule != nil {
				ruleName = rule.Name
			}

			if got != tc.want || ruleName != tc.rule {
				t.Errorf("%s\nwant %d by rule %q, got %d by %q", tc.reason, tc.want, tc.rule, got, ruleName)
			}
		})
	}
}

func TestRevokes(t *testing.T) {
	t.Parallel()

	for d, want := range map[settings.Decision]bool{
		settings.Absent: false, settings.Allowed: false, settings.Excluded: true, settings.Unregistered: true,
	} {
		if d.Revokes() != want {
			t.Errorf("only a list that is there takes access back\ndecision %d: want %v", d, want)
		}
	}
}
