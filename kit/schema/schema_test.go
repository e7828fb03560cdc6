package schema_test

import (
	"encoding/json"
	"fmt"
	"log"
	"reflect"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"lonja/kit/schema"
)

type device struct {
	Name string   `json:"name" minLength:"1"`
	Last *reading `json:"last"`
}

type reading struct {
	Amount int64 `json:"amount" minimum:"0"`
}

// Doc comments come from the caller, limits from struct tags. A pointer that is always
// written can be null.
func Example() {
	data, err := schema.Document(reflect.TypeFor[device](), "urn:example:device", true,
		schema.Config{Comments: map[string]string{"schema_test.device.Name": "What the device is called."}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(data))
	// Output:
	// {
	//   "$defs": {
	//     "schema_test.reading": {
	//       "additionalProperties": false,
	//       "properties": {
	//         "amount": {
	//           "format": "int64",
	//           "minimum": 0,
	//           "type": "integer"
	//         }
	//       },
	//       "required": [
	//         "amount"
	//       ],
	//       "type": "object"
	//     }
	//   },
	//   "$id": "urn:example:device",
	//   "$schema": "https://json-schema.org/draft/2020-12/schema",
	//   "additionalProperties": false,
	//   "properties": {
	//     "last": {
	//       "anyOf": [
	//         {
	//           "$ref": "#/$defs/schema_test.reading"
	//         },
	//         {
	//           "type": "null"
	//         }
	//       ]
	//     },
	//     "name": {
	//       "description": "What the device is called.",
	//       "minLength": 1,
	//       "type": "string"
	//     }
	//   },
	//   "required": [
	//     "name",
	//     "last"
	//   ],
	//   "type": "object"
	// }
}

type code string

type Base struct {
	Code code `json:"code"`
}

type parts struct {
	Base
	Codes  []code     `json:"codes" nullable:"true"`
	Key    []byte     `json:"key"`
	Since  *time.Time `json:"since"`
	Until  *time.Time `json:"until,omitempty"`
	Hidden string     `json:"-"`
}

func TestDocument_TellsWhatEncodingJSONWrites(t *testing.T) {
	owners := map[string]string{}
	data, err := schema.Document(reflect.TypeFor[parts](), "urn:parts", false, schema.Config{
		Patterns: map[reflect.Type]string{reflect.TypeFor[code](): "^[a-z]$"},
		Refine: func(owner reflect.Type, field string, s *huma.Schema) {
			owners[field] = owner.Name()
			if field == "Since" {
				s.Description = "refined"
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		AdditionalProperties any
		Properties           map[string]struct {
			Type        any
			Pattern     string
			Description string
			Items       struct{ Pattern string }
		}
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	p := got.Properties
	if len(p) != 5 || got.AdditionalProperties != nil {
		t.Errorf("the members are %v, further ones %v", p, got.AdditionalProperties)
	}
	if p["code"].Pattern != "^[a-z]$" || p["codes"].Items.Pattern != "^[a-z]$" || p["key"].Pattern == "" {
		t.Errorf("patterns are missing: %s", data)
	}
	orNull := func(name string) bool {
		types, several := p[name].Type.([]any)
		return several && len(types) == 2 && types[1] == "null"
	}
	if !orNull("codes") || !orNull("since") || orNull("until") || orNull("key") {
		t.Errorf("what may be null is wrong: %s", data)
	}
	if owners["Code"] != "Base" || owners["Since"] != "parts" || p["since"].Description != "refined" {
		t.Errorf("Refine was called with %v: %s", owners, data)
	}
}

func TestAllowNulls_OnlyForPointersThatAreAlwaysWritten(t *testing.T) {
	type sample struct {
		Always  *reading `json:"always"`
		Omitted *reading `json:"omitted,omitempty"`
		Value   reading  `json:"value"`
	}
	const prefix = "#/components/schemas/"
	r := huma.NewMapRegistry(prefix, huma.DefaultSchemaNamer)
	r.Schema(reflect.TypeFor[sample](), true, "")
	for range 2 { // it may be repeated
		schema.AllowNulls(r, prefix)
	}
	made := r.Map()["Sample"].Properties
	if len(made["always"].AnyOf) != 2 || made["always"].AnyOf[1].Type != "null" || made["omitted"].Ref == "" || made["value"].Ref == "" {
		t.Errorf("always %+v, omitted %+v, value %+v", made["always"], made["omitted"], made["value"])
	}
}
