package httpapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"lonja/kit/errs"
	"lonja/kit/httpapi/httpserve"
	"lonja/kit/httpapi/problem"
)

// observer measures requests, and turns panics into problems.
type observer struct {
	metrics   *metrics
	logger    *slog.Logger
	namespace string // of problems
}

// wrap is the outermost middleware. It also turns the mux's own responses to routes that
// do not exist into problems, and rejects requests with an ambiguous length.
func (o observer) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		rec := &recorder{ResponseWriter: w, r: r, namespace: o.namespace}
		rec.Header()["X-Content-Type-Options"] = nosniff
		defer func() {
			if cause := recover(); cause != nil {
				if cause == http.ErrAbortHandler {
					panic(cause)
				}
				o.logger.Error("handler panicked", "route", r.Pattern, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
				if rec.status == 0 {
					problem.Internal().In(o.namespace).Write(rec)
				}
			}
			o.metrics.request(r, rec.status, time.Since(started))
		}()
		switch httpserve.FramingOf(r.Context()) {
		case httpserve.Ambiguous:
			rec.closes = true
			problem.Malformed("the request must give the length of its body once, by Content-Length or by Transfer-Encoding").In(o.namespace).Write(rec)
			return
		case httpserve.ByCoding:
			rec.closes = true
		}
		next.ServeHTTP(rec, r)
	})
}

// redirectTrailingSlash redirects a path with a trailing slash to the route without it,
// unless the path itself has a route. The status 308 keeps the method and the body.
func redirectTrailingSlash(mux *http.ServeMux, namespace string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bare, hasSlash := strings.CutSuffix(r.URL.Path, "/")
		// A path that is not clean could redirect to another host, as //example.com does.
		if !hasSlash || path.Clean(r.URL.Path) != bare {
			next.ServeHTTP(w, r)
			return
		}
		target := *r
		target.URL = &url.URL{Path: bare, RawPath: strings.TrimSuffix(r.URL.RawPath, "/"), RawQuery: r.URL.RawQuery}
		_, existing := mux.Handler(r)
		if _, pattern := mux.Handler(&target); existing != "" || pattern == "" {
			next.ServeHTTP(w, r)
			return
		}
		problem.New(http.StatusPermanentRedirect, errs.NotFound, "there is no such route; it exists without the trailing slash").
			In(namespace).With("Location", target.URL.String()).Write(w)
	})
}

var (
	nosniff         = []string{"nosniff"}
	closeConnection = []string{"close"}
)

// recorder records a response's status. If the mux found no route, recorder replaces the
// mux's text with a problem. Once the server is stopping, each response closes its
// connection; so does the response to a body with a transfer coding.
type recorder struct {
	http.ResponseWriter
	r        *http.Request
	status   int
	replaced bool
	closes   bool // the response closes the connection

	namespace string // of problems
}

func (rec *recorder) WriteHeader(status int) {
	if rec.status != 0 {
		return
	}
	rec.status = status
	if rec.closes || isStopping(rec.r) {
		rec.Header()["Connection"] = closeConnection
	}
	if rec.r.Pattern == "" && status == http.StatusMethodNotAllowed && rec.r.Method == http.MethodOptions {
		rec.writeOptions()
		return
	}
	if rec.r.Pattern == "" && (status == http.StatusNotFound || status == http.StatusMethodNotAllowed) {
		code, detail := errs.NotFound, "there is no such route; /docs lists the routes"
		if status == http.StatusMethodNotAllowed {
			code, detail = errs.Invalid, "the route does not support this method; the header Allow lists those that it supports"
		}
		problem.New(status, code, detail).In(rec.namespace).Write(rec.ResponseWriter)
		rec.replaced = true
		return
	}
	rec.ResponseWriter.WriteHeader(status)
}

// writeOptions answers OPTIONS with the route's methods, which the mux has put into
// Allow. The mux itself treats OPTIONS as a method without a handler.
func (rec *recorder) writeOptions() {
	h := rec.Header()
	h.Del("Content-Type")
	h.Set("Allow", h.Get("Allow")+", OPTIONS")
	rec.status, rec.replaced = http.StatusNoContent, true
	rec.ResponseWriter.WriteHeader(rec.status)
}

func (rec *recorder) Write(b []byte) (int, error) {
	if rec.replaced {
		return len(b), nil
	}
	rec.WriteHeader(http.StatusOK) // no effect if a status was written
	return rec.ResponseWriter.Write(b)
}

// Unwrap is used by http.ResponseController.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

func isStopping(r *http.Request) bool { return httpserve.Stopping(r.Context()).Err() != nil }
