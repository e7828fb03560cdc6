package shop_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pb33f/jsonschema/v6"

	"lonja/events"
	"lonja/kit/asyncapi"
	"lonja/shop"
)

const schemaDir = "../events/schemas"

func schemaFile(typ string) string {
	return filepath.Join(schemaDir, strings.TrimPrefix(typ, "lonja.")+".json")
}

func TestEventSchemas_AreThoseOfTheStructs(t *testing.T) {
	var files []string
	for _, typ := range events.Types() {
		data, err := shop.EventSchema(typ)
		if err != nil {
			t.Fatal(err)
		}
		wantGolden(t, schemaFile(typ), data)
		files = append(files, schemaFile(typ))
	}
	for _, typ := range events.OlderTypes() { // as they were, since logs still have such events
		files = append(files, schemaFile(typ))
	}
	there, err := filepath.Glob(schemaDir + "/*")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	if !slices.Equal(there, files) {
		t.Errorf("there are schemas of no event, or others:\n%v\n%v", there, files)
	}
}

// compileFile compiles a JSON Schema.
func compileFile(t *testing.T, file string) *jsonschema.Schema {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := "urn:test:" + filepath.Base(file)
	s, err := newCompiler(t, data, at, jsonschema.Draft2020).Compile(at)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newCompiler returns a compiler of the schemas in a JSON document, which is found at
// an address.
func newCompiler(t *testing.T, data []byte, at string, draft *jsonschema.Draft) *jsonschema.Compiler {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(draft)
	c.AssertFormat()
	if err := c.AddResource(at, parsed); err != nil {
		t.Fatal(err)
	}
	return c
}

// validate returns what of a JSON text a schema does not allow.
func validate(t *testing.T, s *jsonschema.Schema, data []byte) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return s.Validate(v)
}

// asStored returns an event's JSON as it is on the wire: with a stand-in for what is sealed.
func asStored(t *testing.T, typ string, plain []byte) []byte {
	t.Helper()
	sealed := events.SealedMembers(typ)
	var members map[string]json.RawMessage
	if len(sealed) == 0 || json.Unmarshal(plain, &members) != nil {
		return plain
	}
	for _, name := range sealed {
		delete(members, name)
	}
	members["sealed"] = json.RawMessage(`{"for":"somebody","data":"AAAA"}`)
	stored, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// TestEventSchemas_AgreeWithTheDecoder changes golden events in every place. What the
// code decodes and writes again must be valid; what is valid must be decoded, except
// where no schema can tell.
func TestEventSchemas_AgreeWithTheDecoder(t *testing.T) {
	for _, typ := range events.Types() {
		t.Run(typ, func(t *testing.T) {
			schema := compileFile(t, schemaFile(typ))
			golden, err := os.ReadFile(filepath.Join("../events/testdata", typ+".json"))
			if err != nil {
				t.Fatal(err)
			}
			stored := asStored(t, typ, golden)
			if err := validate(t, schema, stored); err != nil {
				t.Fatalf("the golden event does not fit: %v", err)
			}
			invalid, agreed := 0, 0
			if string(stored) != string(golden) {
				for _, changed := range mutations(t, stored) { // which no decoder without the key can judge
					if validate(t, schema, changed.data) != nil {
						invalid++
					}
				}
			}
			for _, changed := range mutations(t, golden) {
				e, decodeErr := events.Decode(typ, changed.data)
				onWire := asStored(t, typ, changed.data)
				schemaErr := validate(t, schema, onWire)
				if decodeErr == nil {
					written, err := events.Encode(e)
					if err != nil {
						t.Fatal(err)
					}
					if err := validate(t, schema, asStored(t, typ, written)); err != nil {
						t.Errorf("%s: the code writes %s, which does not fit: %v", changed.what, written, err)
					}
				}
				seen := string(onWire) != string(stored) // no schema can tell what is sealed
				if decodeErr != nil && schemaErr == nil && seen && !beyondSchemas(decodeErr) {
					t.Errorf("%s: fits the schema, but the code says %v", changed.what, decodeErr)
				}
				if schemaErr != nil {
					invalid++
				} else if decodeErr == nil {
					agreed++
				}
			}
			if invalid < 3 || agreed < 1 {
				t.Errorf("%d changed events were invalid and %d decoded: the test proves nothing", invalid, agreed)
			}
		})
	}
}

// beyondSchemas reports whether no schema can tell what is wrong: that two members do
// not fit each other, that a currency does not exist, that a text is blank, or how many
// characters a person counts in it.
func beyondSchemas(err error) bool {
	for _, says := range []string{"must be the total's", "ISO 4217", "between 0 and on_hand", "must not be empty", "must have at most"} {
		if strings.Contains(err.Error(), says) {
			return true
		}
	}
	return false
}

type mutation struct {
	what string
	data []byte
}

// mutations are an event with one member removed or changed, or one added.
func mutations(t *testing.T, golden []byte) (all []mutation) {
	var root map[string]any
	if err := json.Unmarshal(golden, &root); err != nil {
		t.Fatal(err)
	}
	note := func(what string) {
		data, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, mutation{what, data})
	}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, was := range v {
				delete(v, name)
				note(path + "." + name + " is missing")
				for _, other := range []any{nil, "", " ", "a.b", "x", strings.Repeat("x", 65), 0, -1, 1, 1.5, 1e15, true, []any{}, []any{1}, map[string]any{}} {
					v[name] = other
					data, _ := json.Marshal(other)
					note(path + "." + name + " is " + string(data))
				}
				v[name] = was
				walk(path+"."+name, was)
			}
			v["added_later"] = 1
			note(path + " has a member more")
			delete(v, "added_later")
		case []any:
			for _, item := range v {
				walk(path+"[]", item)
			}
		}
	}
	walk("", root)
	return all
}

// TestRequestSchemas_AreClosed compares the schemas of commands and queries with the
// strict decoder: a member that is not described is not accepted. Each tells what it is
// answered with.
func TestRequestSchemas_AreClosed(t *testing.T) {
	doc := describe(t)
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	compiler := newCompiler(t, data, "urn:lonja", jsonschema.Draft2020)
	checked := 0
	for name, c := range doc.Channels {
		if c.Kind() != asyncapi.Commands && c.Kind() != asyncapi.Queries {
			continue
		}
		schema, err := compiler.Compile("urn:lonja#/components/messages/" + name + "/payload")
		if err != nil {
			t.Fatal(err)
		}
		if validate(t, schema, []byte(`{"no_such_member":1}`)) == nil {
			t.Errorf("%s accepts any member", name)
		}
		if answer := doc.Components.Messages[name+".answer"].Payload; answer.Ref == "" && answer.Type != "array" {
			t.Errorf("%s does not tell what it is answered with", name)
		}
		checked++
	}
	if checked < 20 {
		t.Errorf("only %d requests", checked)
	}
}
