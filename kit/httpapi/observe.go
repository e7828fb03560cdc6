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

// observer counts and times requests, and turns panics into problems.
type observer struct {
	measured  *measures
	logger    *slog.Logger
	namespace string // of problems
}

// wrap goes around everything. It also turns the mux's own answers to routes that
// do not exist into problems.
func (o observer) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		rec := &recorder{ResponseWriter: w, r: r, namespace: o.namespace}
		rec.Header()["X-Content-Type-Options"] = nosniff
		defer func() {
			if cause := recover(); cause != nil {
				if cause == http.ErrAbortHandler {
					panic(cause)
				}
				o.logger.Error("a handler panicked", "route", r.Pattern, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
				if rec.status == 0 {
					problem.Internal().In(o.namespace).Write(rec)
				}
			}
			o.measured.request(r, rec.status, time.Since(began))
		}()
		switch httpserve.BodyEnd(r.Context()) {
		case httpserve.Ambiguous:
			rec.last = true
			problem.Malformed("the request must give the length of its body once, by Content-Length or by Transfer-Encoding").In(o.namespace).Write(rec)
			return
		case httpserve.ByCoding:
			rec.last = true
		}
		next.ServeHTTP(rec, r)
	})
}

// withoutSlash sends whoever asks for a route with a slash at its end, where
// there is nothing, to the route. The method stays, and so does the body.
func withoutSlash(mux *http.ServeMux, namespace string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bare, slash := strings.CutSuffix(r.URL.Path, "/")
		// A path that is not clean might lead to another host, as //example.com does.
		if !slash || path.Clean(r.URL.Path) != bare {
			next.ServeHTTP(w, r)
			return
		}
		there := *r
		there.URL = &url.URL{Path: bare, RawPath: strings.TrimSuffix(r.URL.RawPath, "/"), RawQuery: r.URL.RawQuery}
		_, here := mux.Handler(r)
		if _, pattern := mux.Handler(&there); here != "" || pattern == "" {
			next.ServeHTTP(w, r)
			return
		}
		problem.New(http.StatusPermanentRedirect, errs.NotFound, "there is nothing here; without the slash at the end there is").
			In(namespace).With("Location", there.URL.String()).Write(w)
	})
}

var (
	nosniff    = []string{"nosniff"}
	lastAnswer = []string{"close"}
)

// recorder remembers a response's status. Where the mux found no route it puts
// a problem in the place of the mux's own words. Once the server is stopping,
// each response is its connection's last; so is one to a body of unsaid length.
type recorder struct {
	http.ResponseWriter
	r        *http.Request
	status   int
	replaced bool
	last     bool // the connection ends with this response

	namespace string // of problems
}

func (rec *recorder) WriteHeader(status int) {
	if rec.status != 0 {
		return
	}
	rec.status = status
	if rec.last || isStopping(rec.r) {
		rec.Header()["Connection"] = lastAnswer
	}
	if rec.r.Pattern == "" && status == http.StatusMethodNotAllowed && rec.r.Method == http.MethodOptions {
		rec.tellMethods()
		return
	}
	if rec.r.Pattern == "" && (status == http.StatusNotFound || status == http.StatusMethodNotAllowed) {
		code, detail := errs.NotFound, "there is nothing here; /docs shows what there is"
		if status == http.StatusMethodNotAllowed {
			code, detail = errs.Invalid, "this cannot be done here; the header Allow says what can"
		}
		problem.New(status, code, detail).In(rec.namespace).Write(rec.ResponseWriter)
		rec.replaced = true
		return
	}
	rec.ResponseWriter.WriteHeader(status)
}

// tellMethods answers OPTIONS in the place of the mux, which takes it for a
// method like others, but knows what else is there.
func (rec *recorder) tellMethods() {
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
	rec.WriteHeader(http.StatusOK) // unless another one was written
	return rec.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

func isStopping(r *http.Request) bool { return httpserve.Stopping(r.Context()).Err() != nil }
