package client_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// document is the shop's OpenAPI document, as far as the client is checked
// against it.
type document struct {
	Paths      map[string]map[string]*operation
	Components struct{ Schemas map[string]*schema }
	made       int64 // examples
}

type operation struct {
	OperationID  string
	method, path string
	Parameters   []struct {
		Name, In string
		Schema   *schema
	}
	RequestBody *struct{ Content map[string]content }
	Responses   map[string]struct{ Content map[string]content }
	Security    []map[string][]string
}

type content struct{ Schema *schema }

type schema struct {
	Ref                  string `json:"$ref"`
	Type, Format         string
	Enum                 []string
	Properties           map[string]*schema
	AdditionalProperties json.RawMessage
	Items                *schema
	AnyOf                []*schema // a schema, or null
}

// readDocument asks the shop for it.
func readDocument(t *testing.T) *document {
	t.Helper()
	res, err := http.Get(theShop.url + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	d := &document{}
	if err := json.Unmarshal(raw, d); err != nil {
		t.Fatal(err)
	}
	for path, methods := range d.Paths {
		for method, op := range methods {
			op.method, op.path = strings.ToUpper(method), path
		}
	}
	return d
}

func (d *document) schema(name string) *schema { return d.Components.Schemas[name] }

// example is a value of a schema with every field set, and no two scalars alike:
// so a field that the client lacks, or takes for another, shows.
func (d *document) example(s *schema) any {
	d.made++
	if s.Ref != "" {
		return d.example(d.schema(strings.TrimPrefix(s.Ref, "#/components/schemas/")))
	}
	if len(s.AnyOf) > 0 {
		return d.example(s.AnyOf[0])
	}
	switch s.Type {
	case "object":
		return d.object(s)
	case "array":
		return []any{d.example(s.Items)}
	case "string":
		switch {
		case len(s.Enum) > 0:
			return s.Enum[0]
		case s.Format == "date-time":
			return time.Unix(d.made, 0).UTC().Format(time.RFC3339)
		}
		return fmt.Sprintf("text-%d", d.made)
	case "integer":
		return float64(d.made)
	case "boolean":
		return true
	case "":
		return map[string]any{"anything": fmt.Sprint(d.made)}
	}
	panic("no example of type " + s.Type)
}

func (d *document) object(s *schema) any {
	made := map[string]any{}
	for name, property := range s.Properties {
		made[name] = d.example(property)
	}
	var more schema
	if json.Unmarshal(s.AdditionalProperties, &more) == nil && (more.Type != "" || more.Ref != "") {
		made["some-name"] = d.example(&more)
	}
	return made
}

// success is the status and the example of an answer that is good.
func (d *document) success(op *operation) (status int, contentType string, example any) {
	for code, response := range op.Responses {
		if code >= "300" || code == "202" || code == "204" && len(op.Responses["200"].Content) > 0 {
			continue
		}
		fmt.Sscan(code, &status)
		for _, contentType = range []string{"application/json", "text/plain", "text/event-stream"} {
			if c, ok := response.Content[contentType]; ok {
				return status, contentType, d.example(c.Schema)
			}
		}
		return status, "", nil
	}
	panic("no answer of " + op.OperationID)
}

// refusals are the statuses of the problems that an operation may answer with.
func (op *operation) refusals() (statuses []int) {
	for code := range op.Responses {
		if code >= "400" {
			var status int
			fmt.Sscan(code, &status)
			statuses = append(statuses, status)
		}
	}
	slices.Sort(statuses)
	return statuses
}

// named are the names of an operation's parameters in the path, the query or the header.
func (op *operation) named(in string) (names []string) {
	for _, p := range op.Parameters {
		if p.In == in {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}
