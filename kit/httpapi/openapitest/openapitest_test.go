package openapitest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"lonja/kit/httpapi/openapitest"
)

const document = `{
	"openapi": "3.1.0", "info": {"title": "t", "version": "1"},
	"paths": {"/toys/{id}": {
		"get": {
			"parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}, {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 9}}],
			"responses": {
				"200": {"headers": {"Token": {"required": true, "schema": {"type": "string"}}, "Www-Note": {"schema": {"type": "string"}}}, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Toy"}}}},
				"204": {"description": "none"}
			}
		},
		"put": {
			"requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Toy"}}}},
			"responses": {"204": {"description": "done"}, "422": {"content": {"application/problem+json": {"schema": {"type": "object", "required": ["code"]}}}}}
		}
	}},
	"components": {"schemas": {"Toy": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}, "additionalProperties": false}}}
}`

// TestCheck_NamesWhatDoesNotMatch has an answer for each way not to match.
func TestCheck_NamesWhatDoesNotMatch(t *testing.T) {
	doc, err := openapitest.Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	const toy, jsonType = `{"name":"bear"}`, "application/json"
	for name, c := range map[string]struct {
		method, path, sent string
		status             int
		header             map[string]string
		body               string
		says               string // "" when all is well
	}{
		"all is well":                 {"GET", "/toys/1", "", 200, map[string]string{"Token": "x", "WWW-Note": "y", "Content-Type": jsonType, "Date": "today"}, toy, ""},
		"nothing":                     {"GET", "/toys/1", "", 204, nil, "", ""},
		"taken":                       {"PUT", "/toys/1", toy, 204, nil, "", ""},
		"a path that is not there":    {"GET", "/dolls", "", 404, nil, "not found", ""},
		"a path that should not be":   {"GET", "/dolls", "", 200, nil, "here", "no GET of this path"},
		"a further path":              {"GET", "/docs/x", "", 200, nil, "here", ""},
		"another status":              {"GET", "/toys/1", "", 409, nil, "", "no answer 409"},
		"a header is missing":         {"GET", "/toys/1", "", 200, map[string]string{"Content-Type": jsonType}, toy, "Token is missing"},
		"a header too many":           {"GET", "/toys/1", "", 204, map[string]string{"Secret": "x"}, "", "header Secret"},
		"another content type":        {"GET", "/toys/1", "", 200, map[string]string{"Token": "x", "Content-Type": "text/html"}, toy, `content type "text/html"`},
		"no content type":             {"GET", "/toys/1", "", 200, map[string]string{"Token": "x"}, toy, `content type ""`},
		"a body of nothing":           {"GET", "/toys/1", "", 204, nil, "x", "has a body"},
		"a member is missing":         {"GET", "/toys/1", "", 200, map[string]string{"Token": "x", "Content-Type": jsonType}, `{}`, "name"},
		"a member too many":           {"GET", "/toys/1", "", 200, map[string]string{"Token": "x", "Content-Type": jsonType}, `{"name":"a","age":1}`, "age"},
		"no JSON":                     {"GET", "/toys/1", "", 200, map[string]string{"Token": "x", "Content-Type": jsonType}, `{`, "not JSON"},
		"a problem that fits not":     {"PUT", "/toys/1", toy, 422, map[string]string{"Content-Type": "application/problem+json"}, `{}`, "code"},
		"an accepted body fits not":   {"PUT", "/toys/1", `{"name":1}`, 204, nil, "", "was accepted"},
		"a refused body fits not":     {"PUT", "/toys/1", `{"name":1}`, 422, map[string]string{"Content-Type": "application/problem+json"}, `{"code":"x"}`, ""},
		"no body is accepted":         {"PUT", "/toys/1", "", 204, nil, "", "although the required body"},
		"a parameter that is too big": {"GET", "/toys/1?limit=10", "", 204, nil, "", "limit"},
		"a parameter that fits":       {"GET", "/toys/1?limit=9", "", 204, nil, "", ""},
	} {
		req := httptest.NewRequest(c.method, c.path, strings.NewReader(c.sent))
		resp := &http.Response{StatusCode: c.status, Header: http.Header{}}
		for key, value := range c.header {
			resp.Header.Set(key, value)
		}
		err := doc.Check(req, []byte(c.sent), resp, []byte(c.body), "/docs")
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: want %q, got %v", name, c.says, err)
		}
	}
}

func TestParse_AnInvalidDocumentIsAnError(t *testing.T) {
	for _, data := range []string{``, `{}`, `{"openapi":"3.0.3","paths":{"/a":{}}}`,
		strings.Replace(document, `"type": "object", "required": ["name"]`, `"type": "thing", "required": ["name"]`, 1),
		strings.Replace(document, `"required": ["name"]`, `"required": "name"`, 1)} {
		if _, err := openapitest.Parse([]byte(data)); err == nil {
			t.Errorf("taken: %.80s", data)
		}
	}
}
