// Package openapitest checks the answers of a server against the OpenAPI document that
// it serves: their status, headers, content type and body. It is for tests.
package openapitest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/pb33f/jsonschema/v6"
)

// Document is an OpenAPI 3.1 document that answers are checked against. It is safe for
// concurrent use.
type Document struct {
	paths map[string]map[string]operation // by path and method, in lower case

	mu       sync.Mutex // the compiler is not safe for concurrent use
	compiler *jsonschema.Compiler
}

// operation is the part of an operation that is checked.
type operation struct {
	Parameters []struct {
		Name     string `json:"name"`
		In       string `json:"in"`
		Required bool   `json:"required"`
		Schema   struct {
			Type any `json:"type"`
		} `json:"schema"`
	} `json:"parameters"`
	RequestBody *struct {
		Required bool           `json:"required"`
		Content  map[string]any `json:"content"`
	} `json:"requestBody"`
	Responses map[string]struct {
		Headers map[string]struct {
			Required bool `json:"required"`
		} `json:"headers"`
		Content map[string]any `json:"content"`
	} `json:"responses"`
}

// parsed caches documents by their hash, because many tests get the same one.
var parsed sync.Map

// Parse reads a document. It returns an error when the document is not OpenAPI 3.1 or
// when one of its schemas is not a JSON Schema.
func Parse(data []byte) (*Document, error) {
	once, _ := parsed.LoadOrStore(sha256.Sum256(data), sync.OnceValues(func() (*Document, error) { return parse(data) }))
	return once.(func() (*Document, error))()
}

// base is the address of the document in references.
const base = "urn:openapi"

func parse(data []byte) (*Document, error) {
	var d struct {
		OpenAPI    string                          `json:"openapi"`
		Paths      map[string]map[string]operation `json:"paths"`
		Components struct {
			Schemas map[string]any `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(d.OpenAPI, "3.1.") || len(d.Paths) == 0 {
		return nil, fmt.Errorf("not an OpenAPI 3.1 document with paths: its version is %q", d.OpenAPI)
	}
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	doc := &Document{paths: d.Paths, compiler: jsonschema.NewCompiler()}
	doc.compiler.DefaultDraft(jsonschema.Draft2020)
	doc.compiler.AssertFormat()
	if err := doc.compiler.AddResource(base, whole); err != nil {
		return nil, err
	}
	for name := range d.Components.Schemas {
		if _, err := doc.schema("components", "schemas", name); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

// schema returns the schema at a path in the document.
func (d *Document) schema(path ...string) (*jsonschema.Schema, error) {
	at := base + "#"
	for _, name := range path {
		at += "/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.compiler.Compile(at)
}

// fits validates JSON against the schema at a path in the document.
func (d *Document) fits(body []byte, path ...string) error {
	s, err := d.schema(path...)
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the body is not JSON: %w", err)
	}
	return s.Validate(v)
}

// Check returns an error when the document does not describe an answer: its status, its
// headers, its content type or its body. If the request was accepted, with a status below
// 300, its parameters and body must be valid, too. Sent is the request's body; nil means
// that it is unknown.
//
// A path that is not in the document must be answered with an error or a redirect, unless
// it begins with one of other.
func (d *Document) Check(req *http.Request, sent []byte, resp *http.Response, body []byte, other ...string) error {
	op, path, documented := d.operation(req)
	if !documented {
		if slices.Contains([]int{204, 308, 404, 405, 400}, resp.StatusCode) ||
			slices.ContainsFunc(other, func(p string) bool { return strings.HasPrefix(req.URL.Path, p) }) {
			return nil
		}
		return fmt.Errorf("the document has no %s of this path", req.Method)
	}
	said, known := op.Responses[strconv.Itoa(resp.StatusCode)]
	if !known {
		return fmt.Errorf("%s %s: the document has no answer %d", req.Method, path, resp.StatusCode)
	}
	var failed []error
	described := map[string]bool{}
	for name := range said.Headers {
		described[http.CanonicalHeaderKey(name)] = true
	}
	for name := range resp.Header {
		if !described[name] && !common(name) {
			failed = append(failed, fmt.Errorf("answer %d: the header %s is not in the document", resp.StatusCode, name))
		}
	}
	for name, h := range said.Headers {
		if h.Required && resp.Header.Get(name) == "" {
			failed = append(failed, fmt.Errorf("answer %d: the header %s is missing", resp.StatusCode, name))
		}
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch _, says := said.Content[kind]; {
	case !says && (kind != "" || len(said.Content) > 0) && req.Method != http.MethodHead:
		failed = append(failed, fmt.Errorf("answer %d: the content type %q is not in the document", resp.StatusCode, kind))
	case len(said.Content) == 0 && len(body) > 0:
		failed = append(failed, fmt.Errorf("answer %d has a body, which is not in the document", resp.StatusCode))
	case isJSON(kind) && body != nil && req.Method != http.MethodHead:
		failed = append(failed, d.fits(body, "paths", path, methodOf(req), "responses", strconv.Itoa(resp.StatusCode), "content", kind, "schema"))
	}
	if resp.StatusCode < 300 {
		failed = append(failed, d.checkBody(op, path, req, sent), d.checkParameters(op, path, req))
	}
	return errors.Join(failed...)
}

func isJSON(kind string) bool { return kind == "application/json" || strings.HasSuffix(kind, "+json") }

// checkBody checks the body of a request that was accepted. Without a content type, it
// is JSON.
func (d *Document) checkBody(op operation, path string, req *http.Request, sent []byte) error {
	switch {
	case sent == nil && req.Body != nil && req.Body != http.NoBody:
		return nil // the body is unknown
	case op.RequestBody == nil:
		if len(sent) > 0 {
			return errors.New("a body was accepted, which is not in the document")
		}
		return nil
	case len(sent) == 0:
		if op.RequestBody.Required {
			return errors.New("a request was accepted although the required body was missing")
		}
		return nil
	}
	kind, _, _ := mime.ParseMediaType(cmp.Or(req.Header.Get("Content-Type"), "application/json"))
	if _, says := op.RequestBody.Content[kind]; !says {
		return fmt.Errorf("a body of type %q was accepted, which is not in the document", kind)
	}
	if !isJSON(kind) {
		return nil
	}
	if err := d.fits(sent, "paths", path, methodOf(req), "requestBody", "content", kind, "schema"); err != nil {
		return fmt.Errorf("the request was accepted: %w", err)
	}
	return nil
}

// checkParameters checks the parameters of a request that was accepted.
func (d *Document) checkParameters(op operation, path string, req *http.Request) error {
	var failed []error
	for i, p := range op.Parameters {
		var given []string
		switch p.In {
		case "query":
			given = req.URL.Query()[p.Name]
		case "header":
			given = req.Header.Values(p.Name)
		case "path":
			given = segments(path, req.URL.Path, p.Name)
		}
		if p.Required && len(given) == 0 {
			failed = append(failed, fmt.Errorf("a request was accepted although the required %s parameter %s was missing", p.In, p.Name))
		}
		for _, text := range given {
			value := []byte(text)
			if p.Schema.Type != "integer" && p.Schema.Type != "number" && p.Schema.Type != "boolean" {
				value, _ = json.Marshal(text)
			}
			if err := d.fits(value, "paths", path, methodOf(req), "parameters", strconv.Itoa(i), "schema"); err != nil {
				failed = append(failed, fmt.Errorf("the %s parameter %s was accepted: %w", p.In, p.Name, err))
			}
		}
	}
	return errors.Join(failed...)
}

// segments returns the value of a parameter in a path, by the path's template.
func segments(template, path, name string) []string {
	got := strings.Split(path, "/")
	for i, w := range strings.Split(template, "/") {
		if w == "{"+name+"}" && i < len(got) {
			return got[i : i+1]
		}
	}
	return nil
}

// methodOf returns a request's method as the document writes it. HEAD is answered like
// GET, without the body.
func methodOf(req *http.Request) string {
	if req.Method == http.MethodHead {
		return "get"
	}
	return strings.ToLower(req.Method)
}

// operation returns the operation of a request, and its path.
func (d *Document) operation(req *http.Request) (op operation, path string, documented bool) {
	method := methodOf(req)
	for template, methods := range d.paths {
		if op, has := methods[method]; has && matches(template, req.URL.EscapedPath()) {
			return op, template, true
		}
	}
	return op, "", false
}

func matches(template, path string) bool {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	return slices.EqualFunc(want, got, func(w, g string) bool { return w == g || strings.HasPrefix(w, "{") && g != "" })
}

// common reports whether any answer may have a header.
func common(name string) bool {
	switch name {
	case "Content-Type", "Content-Length", "Date", "Connection", "Transfer-Encoding", "Vary", "Cache-Control", "X-Content-Type-Options",
		"Content-Security-Policy", "Referrer-Policy", "X-Accel-Buffering":
		return true
	}
	return strings.HasPrefix(name, "Access-Control-")
}
