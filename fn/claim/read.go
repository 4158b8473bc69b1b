package claim

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/serviceconnections/function-service-connections/fn/excerpt"
)

// Read the services list at the path, as the schema has it, apply the defaults,
// and validate. The value is decoded JSON. It is read by hand, and not by a decoder, because a
// decoder stops at the first value of a wrong type, and because one broken
// connection must not hide the others.
func (c *Claim) Read(schema *Schema, services any, path *field.Path) {
	list, ok := services.([]any)
	if !ok {
		c.Incomplete = true
		c.Errors = append(c.Errors, typeError(path, services, "a list of services"))
		return
	}
	names := map[string]bool{}
	for i, v := range c.atMost(list, maxServices, path) {
		r := reader{path: path.Index(i)}
		s := r.service(r.object(v))
		s.Path = r.path
		// A field of a service that isn't known keeps the whole from being ready,
		// and may be another one misspelt. So until it is mended, nothing has left,
		// and what is published for the service stays as it is.
		unknown := slices.Concat(r.unknown(serviceFields), r.ignored)
		if s.Misread = len(unknown) > 0; s.Misread {
			c.Incomplete = true
		}
		c.Errors = append(c.Errors, unknown...)
		invalid := validateService(s.Service, r)
		misnamed := slices.ContainsFunc(invalid, func(err *field.Error) bool { return err.Field == r.path.Child("name").String() })
		r.errs = append(r.errs, invalid...)
		if names[s.Name] {
			r.errs = append(r.errs, field.Duplicate(r.path.Child("name"), s.Name))
		}
		c.connections(schema, &s, r)
		if s.Name == "" || misnamed || names[s.Name] {
			// Two services of one name may hold different connections, and one
			// whose name is a mistake may be any, so no service's connections can
			// be said to have left. Nothing is ever composed from such a name.
			c.Incomplete = true
			continue
		}
		names[s.Name] = true
		c.Services = append(c.Services, s)
	}
}

// atMost so many entries of a list are read, as many as the schema takes. What is
// beyond them isn't known, so nothing can be said to have left.
func (c *Claim) atMost(list []any, most int, path *field.Path) []any {
	if len(list) <= most {
		return list
	}
	c.Incomplete = true
	c.Errors = append(c.Errors, field.TooMany(path, len(list), most))
	return list[:most]
}

// connections reads the connections of a service, whose own mistakes r holds.
func (c *Claim) connections(schema *Schema, s *ServiceEntry, r reader) {
	path := r.path.Child("connections")
	list := r.list("connections")
	c.Errors = append(c.Errors, r.errs...)
	if r.bad["connections"] {
		c.Incomplete, s.Misread = true, true
	}
	all := len(list)
	list = c.atMost(list, MaxConnections, path)
	if more := c.entries() + len(list) - maxInAll; more > 0 {
		c.Incomplete = true
		c.Errors = append(c.Errors, field.Forbidden(path, fmt.Sprintf("the services have more than %d connections together; split the ServiceConnection", maxInAll)))
		list = list[:len(list)-more]
	}
	// What isn't read may be what is published for the service.
	s.Misread = s.Misread || len(list) < all
	ids := make(map[ConnectionID]bool, len(list))
	s.Entries = slices.Grow(s.Entries, len(list))
	for i, v := range list {
		cr := reader{path: path.Index(i)}
		conn, known := cr.connection(schema, cr.object(v))
		switch {
		case !known:
			c.Incomplete, s.Misread = true, true
		case ids[conn.ID()]:
			// The list map's key is the object with its type and name, as the API
			// server says it.
			twice := field.Duplicate(cr.path, map[string]any{"name": conn.Name, "type": conn.Type})
			if twice.Detail = schema.typeOf(conn.Type).Once; twice.Detail == "" {
				// It may be another one of the service, whose name is a mistake.
				twice.Detail = "give each of them a name of its own"
				c.Incomplete, s.Misread = true, true
			}
			c.Errors = append(c.Errors, twice)
		default:
			ids[conn.ID()] = true
			s.Entries = append(s.Entries, ConnectionEntry{Connection: conn, Errors: append(slices.Clip(r.errs), cr.errs...)})
		}
		c.Errors = append(c.Errors, cr.errs...)
	}
	s.Connections = slices.Grow(s.Connections, len(s.Entries))
	for _, e := range s.Entries {
		s.Connections = append(s.Connections, e.Connection)
	}
	c.Errors = append(c.Errors, schema.together(s.Connections, path)...)
}

// entries that have been read, of all services.
func (c *Claim) entries() int {
	n := 0
	for i := range c.Services {
		n += len(c.Services[i].Entries)
	}
	return n
}

// together holds the connections of a service against each other, type by type. What
// pods get of them then can't be one, and the plan refuses that.
func (s *Schema) together(connections []Connection, path *field.Path) field.ErrorList {
	if len(connections) < 2 {
		return nil
	}
	var errs field.ErrorList
	for _, t := range s.types {
		var of []*Connection
		for i := range connections {
			if len(t.Together) > 0 && connections[i].Type == t.Name {
				of = append(of, &connections[i])
			}
		}
		for i := range t.Together {
			if len(of) > 1 && !t.Together[i].Holds(of) {
				errs = append(errs, field.Invalid(path, len(of), t.Together[i].Message))
			}
		}
	}
	return errs
}

// A reader reads the fields of one object and gathers the mistakes.
type reader struct {
	path   *field.Path
	fields map[string]any
	errs   field.ErrorList
	bad    map[string]bool

	// ignored fields of objects within, which aren't known.
	ignored field.ErrorList
}

func (r *reader) service(m map[string]any) ServiceEntry {
	r.fields = m
	s := ServiceEntry{Service: Service{
		Name:               str[string](r, "name"),
		ServiceAccountName: str[string](r, "serviceAccountName"),
		RequireInjection:   r.boolean("requireInjection"),
	}}
	for i, v := range r.atMost("containers", maxContainers) {
		name, ok := v.(string)
		if !ok {
			r.errs = append(r.errs, typeError(r.path.Child("containers").Index(i), v, "a string"))
			continue
		}
		r.errs = append(r.errs, validateContainer(name, s.Containers, r.path.Child("containers").Index(i))...)
		s.Containers = append(s.Containers, name)
	}
	s.Workload = &Workload{APIVersion: "apps/v1", Kind: "Deployment", Name: s.Name}
	if v, ok := m["workload"]; ok {
		r.workload(v, s.Workload)
	}
	return s
}

// workload over its defaults. A name that is left out is a mistake here.
func (r *reader) workload(v any, w *Workload) {
	wr := reader{path: r.path.Child("workload")}
	wr.fields = wr.object(v)
	if wr.fields != nil {
		w.Name = str[string](&wr, "name")
		if _, ok := wr.fields["name"]; !ok {
			wr.errs = append(wr.errs, field.Required(wr.path.Child("name"), ""))
		}
	}
	if av := str[string](&wr, "apiVersion"); av != "" {
		w.APIVersion = av
	}
	if k := str[string](&wr, "kind"); k != "" {
		w.Kind = k
	}
	r.errs = append(r.errs, wr.errs...)
	r.ignored = append(r.ignored, wr.unknown(workloadFields)...)
}

// connection of a type that is known, or else only its mistake.
func (r *reader) connection(schema *Schema, m map[string]any) (c Connection, known bool) {
	r.fields = m
	c = Connection{Type: str[ConnectionType](r, "type"), Config: &Config{}}
	t := schema.typeOf(c.Type)
	if t == nil {
		r.errs = append(r.errs, schema.unknownType(c.Type, r)...)
		return c, false
	}
	if known = r.name(&c, t); !known {
		return c, false
	}
	cfg := reader{path: r.path.Child(config)}
	v, there := m[config]
	if cfg.fields, _ = v.(map[string]any); there && len(t.configNames) > 0 {
		cfg.fields = cfg.object(v)
	}
	r.errs = append(r.errs, r.foreign(t, cfg.fields)...)
	r.errs = append(r.errs, r.forbidden(schema.has(""), t.names)...)
	if len(t.configNames) > 0 {
		cfg.errs = append(cfg.errs, cfg.forbidden(schema.has(configPrefix), t.configNames)...)
	}
	for i := range t.Fields {
		f := &t.Fields[i]
		name, in := strings.CutPrefix(f.Name, configPrefix)
		switch {
		case !in:
			r.value(&c, f, name)
		case !there || cfg.fields != nil:
			cfg.value(&c, f, name)
		}
	}
	r.errs = append(r.errs, cfg.errs...)
	r.hold(&c, t.Rules, &cfg)
	return c, true
}

// name of a connection, which may be empty, and whether it can be told. One that is
// none may be any.
func (r *reader) name(c *Connection, t *connectionType) bool {
	v, there := r.fields[nameField]
	if !there || v == "" {
		return true
	}
	if t.Once != "" {
		// It is the one of its type, whatever its name.
		r.invalid(nameField, field.Forbidden(r.path.Child(nameField), t.Once))
		return true
	}
	c.Name = str[string](r, nameField)
	switch {
	case r.bad[nameField]:
	case utf8.RuneCountInString(c.Name) > maxNameLength:
		r.invalid(nameField, field.TooLong(r.path.Child(nameField), c.Name, maxNameLength))
	case !nameForm.MatchString(c.Name):
		r.invalid(nameField, field.Invalid(r.path.Child(nameField), c.Name, "must be lowercase letters, digits and -, begin with a letter, and not end in -"))
	}
	return !r.bad[nameField]
}

// value of a field, where it belongs.
func (r *reader) value(c *Connection, f *Field, name string) {
	if _, ok := r.fields[name]; !ok {
		if f.Required {
			// In the words of the XRD.
			r.errs = append(r.errs, field.Required(r.path.Child(name), f.Name+" is required for "+string(c.Type)))
			r.mark(name)
		}
		return
	}
	switch in := f.In(c).(type) {
	case *string:
		*in = str[string](r, name)
		r.text(f, name, *in)
	case **bool:
		*in = r.boolean(name)
	case **int64:
		*in = r.number(f, name)
	case *int32:
		if n := r.number(f, name); n != nil {
			*in = int32(min(max(*n, math.MinInt32), math.MaxInt32))
		}
	case **RoleCreation:
		*in = r.create()
	case **Variables:
		*in = &Variables{}
		r.within(c, f, name)
		if **in == (Variables{}) {
			*in = nil
		}
	default:
		panic(fmt.Sprintf("field %s of connection type %s is in a %T, which nothing reads", f.Name, c.Type, in))
	}
}

// within an object are its fields.
func (r *reader) within(c *Connection, f *Field, name string) {
	wr := reader{path: r.path.Child(name)}
	if wr.fields = wr.object(r.fields[name]); wr.fields != nil {
		known := make([]string, len(f.Of))
		for i := range f.Of {
			known[i] = f.Of[i].Name
			wr.value(c, &f.Of[i], known[i])
		}
		wr.errs = append(wr.errs, wr.unknown(known)...)
	}
	r.errs = append(r.errs, wr.errs...)
}

// text of a field has its form.
func (r *reader) text(f *Field, name, value string) {
	if value == "" {
		return // It isn't there, or couldn't be read.
	}
	if f.MaxLength > 0 && utf8.RuneCountInString(value) > f.MaxLength {
		r.invalid(name, field.TooLong(r.path.Child(name), value, f.MaxLength))
		return
	}
	if f.Label {
		for _, err := range label(value, r.path.Child(name)) {
			r.invalid(name, err)
		}
	}
	if len(f.Enum) > 0 && !slices.Contains(f.Enum, value) {
		r.invalid(name, field.NotSupported(r.path.Child(name), value, f.Enum))
	}
	for i := range f.Forms {
		if !f.Forms[i].text(value) {
			r.invalid(name, field.Invalid(r.path.Child(name), value, f.Forms[i].Message))
		}
	}
}

// number in a field, nil where none can be read.
func (r *reader) number(f *Field, name string) *int64 {
	n := r.integer(name)
	if n == nil {
		return nil
	}
	if b := f.Range; b != nil && (*n < b.Min || *n > b.Max) {
		r.invalid(name, field.Invalid(r.path.Child(name), r.fields[name], fmt.Sprintf("must be between %d and %d", b.Min, b.Max)))
	}
	for i := range f.Forms {
		if !f.Forms[i].number(*n) {
			r.invalid(name, field.Invalid(r.path.Child(name), *n, f.Forms[i].Message))
		}
	}
	return n
}

// hold the fields of a connection against each other, where each by itself is
// well.
func (r *reader) hold(c *Connection, rules []Rule, cfg *reader) {
	for i := range rules {
		at, rule := r, &rules[i]
		name, in := strings.CutPrefix(rule.Field, configPrefix)
		if in {
			at = cfg
		}
		if !at.bad[name] && !rule.Holds(c) {
			r.errs = append(r.errs, field.Invalid(at.path.Child(name), shown(at.fields[name]), rule.Message))
		}
	}
}

// The fields of objects, in the order in which a claim is written.
var (
	serviceFields  = []string{"name", "workload", "containers", "serviceAccountName", "requireInjection", "connections"}
	workloadFields = []string{"apiVersion", "kind", "name"}
)

// unknown fields of the object: one that is misspelt, or of another version,
// would be ignored, and somebody would rely on it.
func (r *reader) unknown(known []string) field.ErrorList {
	return r.forbidden(func(name string) bool { return slices.Contains(known, name) }, known)
}

// has says whether a name is that of a field of any type, in the connection or,
// with the prefix, in its config.
func (s *Schema) has(prefix string) func(name string) bool {
	return func(name string) bool {
		return s.fields[prefix+name] && (prefix != "" || !strings.HasPrefix(name, configPrefix))
	}
}

// forbidden are the fields that aren't known. Those listed are told in their
// place.
func (r *reader) forbidden(known func(name string) bool, listed []string) field.ErrorList {
	var names []string
	for name := range r.fields {
		if !slices.Contains(listed, name) && !known(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var errs field.ErrorList
	for i, name := range names {
		if i == maxUnknown {
			return append(errs, field.Forbidden(r.path, fmt.Sprintf("%d more unknown fields", len(names)-i)))
		}
		errs = append(errs, field.Forbidden(r.path.Child(excerpt.Of(name, maxShown)), "unknown field; the fields here are "+strings.Join(listed, ", ")))
	}
	return errs
}

// foreign refuses the fields that belong to other connection types.
func (r *reader) foreign(t *connectionType, cfg map[string]any) field.ErrorList {
	var errs field.ErrorList
	for _, f := range t.foreign {
		m, path := r.fields, r.path
		name, in := strings.CutPrefix(f, configPrefix)
		if in {
			m = cfg
		}
		if _, ok := m[name]; !ok {
			continue
		}
		if in {
			path = path.Child(config)
		}
		errs = append(errs, field.Forbidden(path.Child(name), fmt.Sprintf("%s is not a field of %s", name, t.Name)))
	}
	return errs
}

func (r *reader) object(v any) map[string]any {
	m, ok := v.(map[string]any)
	if !ok {
		r.errs = append(r.errs, typeError(r.path, v, "an object"))
	}
	return m
}

func (r *reader) list(name string) []any {
	v, ok := r.fields[name]
	if !ok {
		return nil
	}
	l, ok := v.([]any)
	if !ok {
		r.fail(name, v, "a list")
	}
	return l
}

// atMost so many entries of a list are read, as many as the schema takes.
func (r *reader) atMost(name string, most int) []any {
	l := r.list(name)
	if len(l) > most {
		r.errs = append(r.errs, field.TooMany(r.path.Child(name), len(l), most))
		l = l[:most]
	}
	return l
}

func str[T ~string](r *reader, name string) T {
	v, ok := r.fields[name]
	if !ok {
		return ""
	}
	s, ok := v.(string)
	switch {
	case !ok || s == "":
		r.fail(name, v, "a string")
	case len(s) > maxBytes:
		r.errs = append(r.errs, field.TooLong(r.path.Child(name), "", maxBytes))
		r.mark(name)
		return ""
	}
	return T(s)
}

func (r *reader) boolean(name string) *bool {
	v, ok := r.fields[name]
	if !ok {
		return nil
	}
	b, ok := v.(bool)
	if !ok {
		r.fail(name, v, "true or false")
		return nil
	}
	return &b
}

func (r *reader) integer(name string) *int64 {
	var i int64
	switch v := r.fields[name].(type) {
	case nil:
		if _, ok := r.fields[name]; ok {
			r.fail(name, nil, "an integer")
		}
		return nil
	case int64:
		i = v
	case float64:
		// Larger values than 2^53 would have lost digits on their way here.
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			r.fail(name, v, "an integer")
			return nil
		}
		i = int64(v)
	default:
		r.fail(name, v, "an integer")
		return nil
	}
	return &i
}

func (r *reader) fail(name string, v any, want string) {
	r.errs = append(r.errs, typeError(r.path.Child(name), v, want))
	r.mark(name)
}

// invalid field, with its mistake.
func (r *reader) invalid(name string, err *field.Error) {
	r.errs = append(r.errs, err)
	r.mark(name)
}

// mark a field as unreadable, so that nothing else is said of it.
func (r *reader) mark(name string) {
	if r.bad == nil {
		r.bad = map[string]bool{}
	}
	r.bad[name] = true
}

func typeError(path *field.Path, v any, want string) *field.Error {
	switch v {
	case nil:
		return field.Required(path, "must be "+want)
	case "":
		return field.Required(path, "must not be empty")
	}
	return field.TypeInvalid(path, shown(v), "must be "+want)
}

// shown of a value in a message.
func shown(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if n := len(v); n > maxShown {
			return fmt.Sprintf("object of %d fields", n)
		}
	case []any:
		if n := len(v); n > maxShown {
			return fmt.Sprintf("list of %d", n)
		}
	}
	if b, err := json.Marshal(v); err == nil && len(b) > maxShown {
		return excerpt.Of(string(b), maxShown)
	}
	return v
}

// maxShown bytes of a text are shown in a message.
const maxShown = 200
