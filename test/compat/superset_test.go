package compat

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// lacks describes what an answer lacks of another one, or has otherwise: "" if nothing. It
// may have more members than the other one, at any depth, but no more elements.
func lacks(want, got json.RawMessage) string {
	var a, b any
	for text, value := range map[*json.RawMessage]*any{&want: &a, &got: &b} {
		if len(*text) == 0 {
			continue // there is no body
		}
		if err := json.Unmarshal(*text, value); err != nil {
			return fmt.Sprintf("%v in %s", err, *text)
		}
	}
	return difference("", a, b)
}

func difference(path string, want, got any) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v, not %v", path, got, want)
		}
		for name, value := range w {
			has, ok := g[name]
			if !ok {
				return path + "." + name + " is missing"
			}
			if d := difference(path+"."+name, value, has); d != "" {
				return d
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("%s has other elements: %v, not %v", path, got, want)
		}
		for i := range w {
			if d := difference(fmt.Sprintf("%s[%d]", path, i), w[i], g[i]); d != "" {
				return d
			}
		}
		return ""
	}
	if !reflect.DeepEqual(want, got) {
		return fmt.Sprintf("%s is %v, not %v", path, got, want)
	}
	return ""
}

func TestLacks_AllowsMoreMembersOnly(t *testing.T) {
	const answer = `{"id":1,"list":[{"a":"x"}]}`
	for got, wrong := range map[string]string{
		answer: "",
		`{"id":1,"list":[{"a":"x","b":2}],"c":3}`: "",
		`{"list":[{"a":"x"}]}`:                    ".id is missing",
		`{"id":2,"list":[{"a":"x"}]}`:             ".id is 2, not 1",
		`{"id":1,"list":[{"a":"x"},{}]}`:          ".list has other elements",
		`{"id":1,"list":[{"b":"x"}]}`:             ".list[0].a is missing",
		`[]`:                                      " is [], not",
		``:                                        " is <nil>, not",
	} {
		if d := lacks(json.RawMessage(answer), json.RawMessage(got)); (d == "") != (wrong == "") || !strings.HasPrefix(d, wrong) {
			t.Errorf("%s: %q, want %q", got, d, wrong)
		}
	}
}
