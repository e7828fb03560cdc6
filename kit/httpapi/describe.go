package httpapi

import (
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"

	"lonja/kit/httpapi/problem"
	"lonja/kit/schema"
)

// The names of the security schemes in the description.
const (
	bearerScheme = "bearer"
	ticketParam  = "ticket"
)

const (
	schemaPrefix = "#/components/schemas/"
	problemType  = "application/problem+json"
)

// describe returns huma's configuration. Huma serves no documents itself: the API does.
func describe(c Config) huma.Config {
	schemes := map[string]*huma.SecurityScheme{}
	if c.AboutTokens != "" {
		schemes[bearerScheme] = &huma.SecurityScheme{Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: c.AboutTokens}
	}
	if c.AboutTickets != "" {
		schemes[ticketParam] = &huma.SecurityScheme{Type: "apiKey", In: "query", Name: ticketParam, Description: c.AboutTickets}
	}
	api := huma.OpenAPI{
		OpenAPI:    "3.1.0",
		Info:       &huma.Info{Title: c.Title, Version: c.Version, Description: c.About},
		Components: &huma.Components{Schemas: huma.NewMapRegistry(schemaPrefix, huma.DefaultSchemaNamer), SecuritySchemes: schemes},
	}
	kind := api.Components.Schemas.SchemaFromRef(schemaOf[problem.Problem](api.Components.Schemas).Ref).Properties["type"]
	kind.Examples = []any{"urn:" + c.Name + ":problem:conflict"}
	if !c.Local { // without a server, clients use the address of the document
		api.Servers = []*huma.Server{{URL: c.PublicURL}}
	}
	return huma.Config{OpenAPI: &api, DefaultFormat: "application/json", Formats: huma.DefaultFormats,
		Transformers: []huma.Transformer{func(_ huma.Context, _ string, v any) (any, error) {
			if p, ok := v.(*problem.Problem); ok { // problems that huma made have no type yet
				p.In(c.Name)
			}
			return v, nil
		}}}
}

// serveDocs serves the OpenAPI document and a page that displays it.
func serveDocs(mux *http.ServeMux, api *huma.OpenAPI) error {
	describeProblems(api)
	schema.AllowNulls(api.Components.Schemas, schemaPrefix)
	spec, err := json.Marshal(api)
	if err != nil {
		return err
	}
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(spec)
	})
	page := v5emb.NewHandlerWithConfig(swgui.Config{Title: api.Info.Title, SwaggerJSON: "/openapi.json", BasePath: "/docs/", HideCurl: false})
	docs := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", docsPolicy)
		page.ServeHTTP(w, r)
	}
	mux.HandleFunc("GET /docs", docs)
	mux.HandleFunc("GET /docs/", docs)
	return nil
}

// problemHeaders are the headers of problems, by status.
var problemHeaders = map[string]*huma.Param{
	"401": {Name: "WWW-Authenticate", Description: "How to authenticate"},
	"415": {Name: "Accept-Encoding", Description: "The content coding to use, when the request's is not supported"},
	"429": {Name: "Retry-After", Description: "Seconds to wait before a retry"},
	"503": {Name: "Retry-After", Description: "Seconds to wait before a retry"},
}

// describeProblems adds the headers of problems to the description of all routes.
func describeProblems(api *huma.OpenAPI) {
	for _, path := range api.Paths {
		for _, op := range []*huma.Operation{path.Get, path.Put, path.Post, path.Delete, path.Patch} {
			if op == nil {
				continue
			}
			for status, r := range op.Responses {
				if h := problemHeaders[status]; h != nil && r.Content[problemType] != nil {
					if r.Headers == nil {
						r.Headers = map[string]*huma.Header{}
					}
					r.Headers[h.Name] = &huma.Header{Description: h.Description, Schema: textSchema}
				}
			}
		}
	}
}

var textSchema = &huma.Schema{Type: huma.TypeString}

// docsPolicy allows the page to load only what this API serves, and the scripts and
// styles that are inline in it.
const docsPolicy = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"

// schemaOf returns the schema of a body's type, and registers it.
func schemaOf[T any](r huma.Registry) *huma.Schema {
	t := reflect.TypeFor[T]()
	return r.Schema(t, true, t.Name())
}
