package input_test

import (
	"fmt"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"lonja/kit/httpapi/input"
)

// Nothing in a body is ignored: the error names the field.
func ExampleParse() {
	type addition struct {
		Counter string `json:"counter"`
		By      int    `json:"by" minimum:"1"`
	}
	registry := huma.NewMapRegistry("#/", huma.DefaultSchemaNamer)
	schema := registry.Schema(reflect.TypeFor[addition](), true, "")
	for _, body := range []string{
		`{"counter":"visits","by":3}`,
		`{"counter":"visits","by":0}`,
		`{"counter":"visits","by":3,"twice":true}`,
		`{"counter":"visits","counter":"views","by":3}`,
		`{"counter":"visits"}`,
	} {
		var a addition
		err := input.Parse(registry, schema, []byte(body), &a)
		fmt.Println(a, err)
	}
	// Output:
	// {visits 3} <nil>
	// { 0} invalid: by must be at least 1
	// { 0} invalid: twice is unknown
	// { 0} invalid: counter is given twice
	// { 0} invalid: by is required
}
