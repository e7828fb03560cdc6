package schema

import (
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// seal replaces the members of a struct's schema whose fields have the tag sealed:"true" by
// the one that takes their place on the wire; see eventlog.Sealed. The member that tells that
// they are withheld is never sent.
func seal(t reflect.Type, made *huma.Schema) {
	replaced := []string{"withheld"}
	for _, f := range reflect.VisibleFields(t) {
		if f.Tag.Get("sealed") == "true" {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			replaced = append(replaced, name)
		}
	}
	if len(replaced) == 1 {
		return
	}
	for _, name := range replaced {
		delete(made.Properties, name)
	}
	made.Required = slices.DeleteFunc(made.Required, func(name string) bool { return slices.Contains(replaced, name) })
	made.Required = append(made.Required, "sealed")
	made.Properties["sealed"] = &huma.Schema{
		Type:        huma.TypeObject,
		Description: "The members " + strings.Join(replaced[1:], ", ") + ", encrypted by a key that only one service has, and that can be destroyed",
		Properties: map[string]*huma.Schema{
			"for":  {Type: huma.TypeString, MinLength: new(1), Description: "Whose key it is"},
			"data": {Type: huma.TypeString, ContentEncoding: "base64", Pattern: base64Pattern, Description: "A nonce, then the encrypted JSON object"},
		},
		Required: []string{"for", "data"},
	}
}
