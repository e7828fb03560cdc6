// Package schema makes JSON Schemas of Go structs, as encoding/json reads and writes
// them. What reflection cannot tell, such as doc comments, comes from a [Config]. The
// schemas follow from the types, so a field that is added shows up by itself. Embedded
// structs must be exported: the fields of others are left out. A struct with sealed fields,
// see eventlog.Sealed, is described as it is on the wire.
package schema

import (
	"encoding/json"
	"path"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Config holds what reflection cannot tell about types. With the zero Config, schemas
// hold what the types and huma's struct tags (minimum, enum, minItems, …) tell.
type Config struct {
	// Comments are the doc comments of types ("events.Money") and of their fields
	// ("events.Money.Amount"). They become descriptions.
	Comments map[string]string
	// Patterns are regular expressions that every string of a named type matches.
	Patterns map[reflect.Type]string
	// Refine, which may be nil, is called last with each field's schema and the struct
	// that declares the field. It may change the schema, for limits that cannot be tags.
	Refine func(owner reflect.Type, field string, s *huma.Schema)
}

// Set collects the JSON Schemas of Go types and of all types that they hold. It is not
// safe for concurrent use.
type Set struct {
	config   Config
	prefix   string
	closed   bool // no further members are allowed
	registry huma.Registry
	refined  map[string]bool
}

// NewSet returns an empty set. Prefix begins the references between its schemas, such
// as "#/components/schemas/". Closed schemas allow no members that are not described,
// as a strict decoder does.
func NewSet(c Config, prefix string, closed bool) *Set {
	return &Set{c, prefix, closed, huma.NewMapRegistry(prefix, typeName), map[string]bool{}}
}

// All returns the schemas of all structs of the set, by [Name].
func (s *Set) All() map[string]*huma.Schema { return s.registry.Map() }

// Of returns the schema of a type: a reference when it is a struct. It panics on a
// type that JSON cannot hold.
func (s *Set) Of(t reflect.Type) *huma.Schema {
	schema := s.registry.Schema(t, true, "")
	if t.Kind() == reflect.Slice {
		schema.Nullable = false
	}
	for name, made := range s.registry.Map() {
		if !s.refined[name] {
			s.refined[name] = true
			s.refine(s.registry.TypeFromRef(s.prefix+name), made)
		}
	}
	return schema
}

// refine adds to a struct's schema what huma leaves out.
func (s *Set) refine(t reflect.Type, made *huma.Schema) {
	made.Description = s.config.Comments[Name(t)]
	if made.AdditionalProperties = nil; s.closed {
		made.AdditionalProperties = false
	}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		field := made.Properties[name]
		if field == nil || f.Anonymous || !f.IsExported() {
			continue
		}
		owner := ownerOf(t, f)
		if field.Description == "" {
			field.Description = s.config.Comments[Name(owner)+"."+f.Name]
		}
		if pattern := s.config.Patterns[elem(f.Type)]; pattern != "" {
			scalar(field).Pattern = pattern
		}
		if field.ContentEncoding == "base64" {
			field.Pattern = base64Pattern
		}
		if s.config.Refine != nil {
			s.config.Refine(owner, f.Name, field)
		}
		made.Properties[name] = orNull(f, field)
	}
	seal(t, made)
}

// base64Pattern is what encoding/json takes for bytes.
const base64Pattern = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"

// orNull lets a member be null where encoding/json writes null: for a pointer that
// is always written, and for a list with the tag nullable.
func orNull(f reflect.StructField, field *huma.Schema) *huma.Schema {
	null := f.Tag.Get("nullable") == "true" ||
		f.Type.Kind() == reflect.Pointer && !strings.Contains(f.Tag.Get("json"), ",omit")
	if field.Ref == "" {
		field.Nullable = null && field.Type != "" // what has no type may be anything
		return field
	}
	if !null {
		return field
	}
	description := field.Description
	field.Description = ""
	return &huma.Schema{Description: description, AnyOf: []*huma.Schema{field, {Type: "null"}}}
}

// AllowNulls lets members be null where encoding/json writes null, in all schemas of
// a huma registry with this prefix. Huma leaves that out for pointers to structs.
func AllowNulls(r huma.Registry, prefix string) {
	for name, made := range r.Map() {
		t := r.TypeFromRef(prefix + name)
		if t == nil || t.Kind() != reflect.Struct {
			continue
		}
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if field := made.Properties[name]; field != nil && !f.Anonymous && field.Ref != "" {
				made.Properties[name] = orNull(f, field)
			}
		}
	}
}

// ownerOf is the struct that declares a field which is visible in t.
func ownerOf(t reflect.Type, f reflect.StructField) reflect.Type {
	for _, i := range f.Index[:len(f.Index)-1] {
		if t = t.Field(i).Type; t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
	}
	return t
}

// elem is what a pointer points to, or what a list is of.
func elem(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

// scalar is a member's schema, or that of its items.
func scalar(s *huma.Schema) *huma.Schema {
	for s.Type == huma.TypeArray {
		s = s.Items
	}
	return s
}

func typeName(t reflect.Type, _ string) string { return Name(t) }

// Name is the name of a type's schema: the type's name with that of its package,
// "events.Money".
func Name(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name, args, generic := strings.Cut(t.Name(), "[")
	if generic {
		name += "_" + path.Base(strings.TrimSuffix(args, "]"))
	}
	return path.Base(t.PkgPath()) + "." + name
}

// Document returns the JSON Schema (draft 2020-12) of a struct as indented JSON. It
// holds the schemas of all types that the struct refers to. For closed, see [NewSet].
func Document(t reflect.Type, id string, closed bool, c Config) ([]byte, error) {
	s := NewSet(c, "#/$defs/", closed)
	root := s.Of(t)
	defs := map[string]any{}
	for name, schema := range s.registry.Map() {
		defs[name] = schema
	}
	if root.Ref != "" {
		delete(defs, strings.TrimPrefix(root.Ref, s.prefix))
		root = s.registry.SchemaFromRef(root.Ref)
	}
	data, err := json.Marshal(root)
	if err != nil {
		return nil, err
	}
	var whole map[string]any
	if err := json.Unmarshal(data, &whole); err != nil {
		return nil, err
	}
	whole["$schema"], whole["$id"] = "https://json-schema.org/draft/2020-12/schema", id
	if len(defs) > 0 {
		whole["$defs"] = defs
	}
	data, err = json.MarshalIndent(whole, "", "  ")
	return append(data, '\n'), err
}
