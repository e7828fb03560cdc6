package gateway

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
)

const bearer = "bearer"

// describe is huma without routes of its own: the gateway serves them.
func (g *gateway) describe() huma.Config {
	api := huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{Title: "lonja", Version: "1.0.0", Description: "A shop: catalogue, stock, orders, payments and accounts.\n\n" +
			"Money is in minor units: 295 GBP is £2.95. Every answer to a write carries a `Consistency-Token`; " +
			"sent back, it makes any replica show that write. What is refused is a problem (RFC 9457) with a `code`."},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
			SecuritySchemes: map[string]*huma.SecurityScheme{
				bearer:      {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "The access_token of /api/auth/login"},
				ticketParam: {Type: "apiKey", In: "query", Name: ticketParam, Description: "Part of the URL that /api/orders/{id}/stream/tickets gives"},
			},
		},
	}
	if !g.Local { // else the page's own address
		api.Servers = []*huma.Server{{URL: g.PublicURL}}
	}
	return huma.Config{OpenAPI: &api, DefaultFormat: "application/json",
		Formats: huma.DefaultFormats}
}

// serveDocs serves the description of all routes, and a page to read it with.
func (g *gateway) serveDocs() error {
	spec, err := json.Marshal(g.api.OpenAPI())
	if err != nil {
		return err
	}
	g.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(spec)
	})
	page := v5emb.NewHandlerWithConfig(swgui.Config{Title: "lonja", SwaggerJSON: "/openapi.json", BasePath: "/docs/", HideCurl: false})
	docs := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", docsPolicy)
		page.ServeHTTP(w, r)
	}
	g.mux.HandleFunc("GET /docs", docs)
	g.mux.HandleFunc("GET /docs/", docs)
	return nil
}

// docsPolicy keeps the page to what this gateway serves. Its own script and
// style stand in the page.
const docsPolicy = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"

func (g *gateway) registry() huma.Registry { return g.api.OpenAPI().Components.Schemas }

// schema describes a type of a body.
func (g *gateway) schema(t reflect.Type) *huma.Schema { return g.registry().Schema(t, true, t.Name()) }

// document describes a route that huma does not serve.
func (g *gateway) document(rt *route) {
	refusal := map[string]*huma.MediaType{"application/problem+json": {Schema: g.schema(reflect.TypeFor[problem]())}}
	for _, status := range rt.Errors {
		if key := strconv.Itoa(status); rt.Responses[key] == nil {
			rt.Responses[key] = &huma.Response{Description: http.StatusText(status), Content: refusal}
		}
	}
	g.api.OpenAPI().AddOperation(&rt.Operation)
}

func pathParam(name string) *huma.Param {
	return &huma.Param{Name: name, In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}}
}
