package claim

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The forms of cloud names. The kubebuilder markers of the types state the same
// ones for the API server; a test holds the two against each other.
var (
	// IAM role names and paths: AWS IAM API reference, CreateRole.
	rolePattern    = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
	roleARNPattern = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/([!-~]{1,512}/)?[\w+=,.@-]{1,64}$`)

	// Azure naming rules: Azure documentation, "Naming rules and restrictions
	// for Azure resources", Microsoft.ManagedIdentity and Microsoft.Resources.
	identityPattern      = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}$`)
	resourceGroupPattern = regexp.MustCompile(`^[\w().-]{0,89}[\w()-]$`)
	subscriptionPattern  = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

	// Google service account ids and e-mails: Google Cloud IAM documentation,
	// "Create service accounts".
	googleIDPattern    = regexp.MustCompile(`^[a-z][a-z0-9-]{4,28}[a-z0-9]$`)
	googleEmailPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{4,62}@[a-z0-9.-]+\.gserviceaccount\.com$`)

	// A Cloud SQL connection name becomes an argument of the proxy, which takes
	// options after a question mark and flags after a dash. So the pattern is
	// anchored, and narrow.
	connectionNamePattern = regexp.MustCompile(`^([a-z0-9][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]:[a-z0-9-]+:[a-z][a-z0-9-]{0,97}$`)

	// Elements of a path: any but . and .., without colons, which Kubernetes
	// refuses in mount paths, and control characters.
	pathElement      = `([^./:\x00-\x1f\x7f]|\.[^./:\x00-\x1f\x7f]|\.\.[^/:\x00-\x1f\x7f])[^/:\x00-\x1f\x7f]*`
	mountPathPattern = regexp.MustCompile(`^(/` + pathElement + `)+$`)
	subPathPattern   = regexp.MustCompile(`^` + pathElement + `(/` + pathElement + `)*$`)

	// Directories that may not be mounted over. Tokens are in the last ones.
	systemPathPattern = regexp.MustCompile(`^/(bin|boot|dev|etc|lib|lib64|proc|root|run|sbin|sys|usr|var/run|var/lib/kubelet)(/|$)`)
)

// maxLengths in characters. They bound what the API server's rules cost, and
// what the forms leave open.
var maxLengths = map[string]int{
	"role":                   2048,
	"targetRoleArn":          2048,
	"policyArns":             768,
	"identityName":           128,
	"resourceGroup":          90,
	"subscriptionId":         36,
	"serviceAccountEmail":    127,
	"cloudSqlConnectionName": 256,
	"cloudSqlServiceAccount": 127,
	"mountPath":              512,
	"subPath":                512,
}

// The schema's bounds of lists. What is beyond them isn't read: whoever writes a
// composite resource without our schema decides neither how long the function
// takes nor how much memory.
const (
	maxServices    = 100
	maxConnections = 5
	maxContainers  = 32

	// maxBytes is beyond what any field may have.
	maxBytes = 8192

	// maxUnknown fields of an object are told by name.
	maxUnknown = 10
)

// A fieldOf says to which connection type a field belongs.
type fieldOf struct {
	name   string
	config bool
	types  []ConnectionType
}

func (f fieldOf) belongs(t ConnectionType) bool { return slices.Contains(f.types, t) }

var fields = []fieldOf{
	{name: "role", types: []ConnectionType{TypeAWSRole}},
	{name: "create", types: []ConnectionType{TypeAWSRole}},
	{name: "targetRoleArn", types: []ConnectionType{TypeAWSRole}},
	{name: "identityName", types: []ConnectionType{TypeAzureManagedIdentity}},
	{name: "resourceGroup", types: []ConnectionType{TypeAzureManagedIdentity}},
	{name: "subscriptionId", types: []ConnectionType{TypeAzureManagedIdentity}},
	{name: "serviceAccountEmail", types: []ConnectionType{TypeGCPServiceAccount}},
	{name: "config", types: []ConnectionType{TypeCloudSQL, TypeDisk}},
	{name: "cloudSqlConnectionName", config: true, types: []ConnectionType{TypeCloudSQL}},
	{name: "cloudSqlDatabasePort", config: true, types: []ConnectionType{TypeCloudSQL}},
	{name: "cloudSqlServiceAccount", config: true, types: []ConnectionType{TypeCloudSQL}},
	{name: "ipType", config: true, types: []ConnectionType{TypeCloudSQL}},
	{name: "autoIamAuthn", config: true, types: []ConnectionType{TypeCloudSQL}},
	{name: "diskName", config: true, types: []ConnectionType{TypeDisk}},
	{name: "mountPath", config: true, types: []ConnectionType{TypeDisk}},
	{name: "readOnly", config: true, types: []ConnectionType{TypeDisk}},
	{name: "subPath", config: true, types: []ConnectionType{TypeDisk}},
	{name: "fsGroup", config: true, types: []ConnectionType{TypeDisk}},
}

func isField(name string, config bool) bool {
	return slices.ContainsFunc(fields, func(f fieldOf) bool { return f.name == name && f.config == config })
}

// fieldsOf a connection type, by name, in the connection or in its config.
func fieldsOf(t ConnectionType, config bool) []string {
	var names []string
	for _, f := range fields {
		if f.config == config && f.belongs(t) {
			names = append(names, f.name)
		}
	}
	return names
}

// Types of connections, in the order of the README.
func Types() []ConnectionType {
	return []ConnectionType{TypeAWSRole, TypeAzureManagedIdentity, TypeCloudSQL, TypeDisk, TypeGCPServiceAccount}
}

func known(t ConnectionType) bool { return slices.Contains(Types(), t) }

func validateType(t ConnectionType, r reader) field.ErrorList {
	switch {
	case r.bad["type"] || r.fields == nil:
		return nil
	case t == "":
		return field.ErrorList{field.Required(r.path.Child("type"), "")}
	default:
		return field.ErrorList{field.NotSupported(r.path.Child("type"), t, Types())}
	}
}

// apiVersions of the workload kinds.
var apiVersions = map[string]string{
	"Deployment":  "apps/v1",
	"StatefulSet": "apps/v1",
	"DaemonSet":   "apps/v1",
	"ReplicaSet":  "apps/v1",
	"Job":         "batch/v1",
	"CronJob":     "batch/v1",
	"Pod":         "v1",
	"Rollout":     "argoproj.io/v1alpha1",
}

func validateService(s Service, r reader) field.ErrorList {
	var errs field.ErrorList
	p := r.path
	switch _, there := r.fields["name"]; {
	case s.Name != "":
		errs = append(errs, label(s.Name, p.Child("name"))...)
	case !there && r.fields != nil:
		errs = append(errs, field.Required(p.Child("name"), ""))
	}
	if s.ServiceAccountName != "" {
		errs = append(errs, subdomain(s.ServiceAccountName, p.Child("serviceAccountName"))...)
	}
	if _, there := r.fields["workload"]; there {
		errs = append(errs, validateWorkload(s.Workload, p.Child("workload"))...)
	}
	return errs
}

// validateContainer that is named after others.
func validateContainer(name string, others []string, p *field.Path) field.ErrorList {
	if slices.Contains(others, name) {
		return field.ErrorList{field.Duplicate(p, name)}
	}
	return label(name, p)
}

func validateWorkload(w *Workload, wp *field.Path) field.ErrorList {
	var errs field.ErrorList
	if w.Name != "" {
		errs = append(errs, subdomain(w.Name, wp.Child("name"))...)
	}
	switch want, ok := apiVersions[w.Kind]; {
	case !ok:
		kinds := []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod", "Rollout"}
		errs = append(errs, field.NotSupported(wp.Child("kind"), w.Kind, kinds))
	case w.APIVersion != want:
		errs = append(errs, field.Invalid(wp.Child("apiVersion"), w.APIVersion, "a "+w.Kind+" has apiVersion "+want))
	}
	return errs
}

func validateConnection(c Connection, r reader) field.ErrorList {
	v := validator{reader: r, typ: c.Type, errs: append(r.foreign(c.Type), r.unknownTo(c.Type)...)}
	cfg := r.path.Child("config")
	switch c.Type {
	case TypeAWSRole:
		switch {
		case c.Create != nil:
			v.required(r.path, "role", c.Role, baseNamePattern, "must be a base name of at most 64 letters, digits and +=.@-_ where the role is created, not an ARN; leave create out to use a role that exists")
		case strings.HasPrefix(c.Role, "arn:"):
			v.required(r.path, "role", c.Role, roleARNPattern, "must be a role ARN such as arn:aws:iam::123456789012:role/name")
		default:
			v.required(r.path, "role", c.Role, rolePattern, "must be a role name of at most 64 letters, digits and +=,.@-_, or a role ARN")
		}
		v.optional(r.path, "targetRoleArn", c.TargetRoleARN, roleARNPattern, "must be a role ARN such as arn:aws:iam::123456789012:role/name")
	case TypeAzureManagedIdentity:
		v.required(r.path, "identityName", c.IdentityName, identityPattern, "must be 3 to 128 letters, digits, - and _")
		v.required(r.path, "resourceGroup", c.ResourceGroup, resourceGroupPattern, "must be at most 90 letters, digits and ._()-, not ending in a dot")
		v.optional(r.path, "subscriptionId", c.SubscriptionID, subscriptionPattern, "must be a UUID")
	case TypeCloudSQL:
		v.required(cfg, "cloudSqlConnectionName", c.Config.CloudSQLConnectionName, connectionNamePattern, "must be project:region:instance, as Cloud SQL shows it")
		v.port(cfg.Child("cloudSqlDatabasePort"), c.Config.CloudSQLDatabasePort)
		v.account(cfg, c.Config.CloudSQLServiceAccount)
		if t := c.Config.IPType; t != "" && !slices.Contains([]string{"Public", "Private", "PSC"}, t) {
			v.errs = append(v.errs, field.NotSupported(cfg.Child("ipType"), t, []string{"Public", "Private", "PSC"}))
		}
	case TypeDisk:
		v.disk(cfg, *c.Config)
	case TypeGCPServiceAccount:
		v.required(r.path, "serviceAccountEmail", c.ServiceAccountEmail, googleEmailPattern, "must be a service account e-mail such as name@project.iam.gserviceaccount.com")
	}
	return v.errs
}

// A validator gathers mistakes, leaving out the fields that could not be read.
type validator struct {
	reader reader
	typ    ConnectionType
	errs   field.ErrorList
}

// missing field, in the words of the XRD.
func (v *validator) missing(p *field.Path) {
	name := strings.TrimPrefix(p.String(), v.reader.path.String()+".")
	v.errs = append(v.errs, field.Required(p, name+" is required for "+string(v.typ)))
}

func (v *validator) required(p *field.Path, name, value string, form *regexp.Regexp, want string) {
	if value == "" && !v.reader.bad[name] {
		v.missing(p.Child(name))
		return
	}
	v.optional(p, name, value, form, want)
}

func (v *validator) optional(p *field.Path, name, value string, form *regexp.Regexp, want string) {
	switch limit := maxLengths[name]; {
	case value == "":
	case utf8.RuneCountInString(value) > limit:
		v.errs = append(v.errs, field.TooLong(p.Child(name), value, limit))
	case !form.MatchString(value):
		v.errs = append(v.errs, field.Invalid(p.Child(name), value, want))
	}
}

func (v *validator) port(p *field.Path, port int32) {
	if v.reader.bad["cloudSqlDatabasePort"] {
		return
	}
	cfg, _ := v.reader.fields["config"].(map[string]any)
	if _, ok := cfg["cloudSqlDatabasePort"]; !ok {
		v.missing(p)
		return
	}
	for _, msg := range validation.IsValidPortNum(int(port)) {
		v.errs = append(v.errs, field.Invalid(p, cfg["cloudSqlDatabasePort"], msg))
	}
	if port == ProxyHTTPPort {
		v.errs = append(v.errs, field.Invalid(p, port, "the proxy's own health checks listen on this port; use another"))
	}
}

func (v *validator) account(p *field.Path, account string) {
	form := googleIDPattern
	if strings.Contains(account, "@") {
		form = googleEmailPattern
	}
	v.required(p, "cloudSqlServiceAccount", account, form, "must be a service account id in the cluster's project, or its e-mail")
}

func (v *validator) disk(p *field.Path, c Config) {
	if c.DiskName == "" {
		if !v.reader.bad["diskName"] {
			v.missing(p.Child("diskName"))
		}
	} else {
		v.errs = append(v.errs, label(c.DiskName, p.Child("diskName"))...)
	}
	v.optional(p, "mountPath", c.MountPath, mountPathPattern, "must be an absolute path below /, without . and .. elements, double or trailing slashes, and colons")
	if m := c.MountPath; systemPathPattern.MatchString(m) {
		v.errs = append(v.errs, field.Invalid(p.Child("mountPath"), m, "is a system directory; mount the disk elsewhere, such as /data"))
	}
	v.optional(p, "subPath", c.SubPath, subPathPattern, "must be a relative path within the disk, without . and .. elements, double or trailing slashes, and colons")
	if g := c.FSGroup; g != nil && (*g < 0 || *g > 1<<31-1) {
		v.errs = append(v.errs, field.Invalid(p.Child("fsGroup"), *g, "must be between 0 and 2147483647"))
	}
}

func label(s string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range validation.IsDNS1123Label(s) {
		errs = append(errs, field.Invalid(p, s, msg))
	}
	return errs
}

func subdomain(s string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range validation.IsDNS1123Subdomain(s) {
		errs = append(errs, field.Invalid(p, s, msg))
	}
	return errs
}

// ProxyHTTPPort is where the Cloud SQL Auth Proxy answers its probes.
const ProxyHTTPPort = 9801
