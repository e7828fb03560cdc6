package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"lonja/kit/errs"
)

// observe wraps everything: it counts and times requests, turns panics into
// problems, and also the mux's own answers to routes that do not exist.
func (g *gateway) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		rec := &recorder{ResponseWriter: w, r: r}
		rec.Header()["X-Content-Type-Options"] = nosniff
		defer func() {
			if cause := recover(); cause != nil {
				if cause == http.ErrAbortHandler {
					panic(cause)
				}
				g.Logger.Error("a handler panicked", "route", r.Pattern, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
				if rec.status == 0 {
					newProblem(http.StatusInternalServerError, errs.Internal, "something went wrong on our side").write(rec)
				}
			}
			g.measured.request(r, rec.status, time.Since(began))
		}()
		switch framingOf(r.Context()) {
		case ambiguous:
			rec.last = true
			malformed("the request must give the length of its body once, by Content-Length or by Transfer-Encoding").write(rec)
			return
		case byCoding:
			rec.last = true
		}
		next.ServeHTTP(rec, r)
	})
}

// withoutSlash sends whoever asks for a route with a slash at its end, where
// there is nothing, to the route. The method stays, and so does the body.
func (g *gateway) withoutSlash(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bare, slash := strings.CutSuffix(r.URL.Path, "/")
		// A path that is not clean might lead to another host, as //example.com does.
		if !slash || path.Clean(r.URL.Path) != bare {
			next.ServeHTTP(w, r)
			return
		}
		there := *r
		there.URL = &url.URL{Path: bare, RawPath: strings.TrimSuffix(r.URL.RawPath, "/"), RawQuery: r.URL.RawQuery}
		_, here := g.mux.Handler(r)
		if _, pattern := g.mux.Handler(&there); here != "" || pattern == "" {
			next.ServeHTTP(w, r)
			return
		}
		p := newProblem(http.StatusPermanentRedirect, errs.NotFound, "there is nothing here; without the slash at the end there is")
		p.with("Location", there.URL.String()).write(w)
	})
}

var (
	nosniff    = []string{"nosniff"}
	lastAnswer = []string{"close"}
)

// recorder remembers a response's status. Where the mux found no route it puts
// a problem in the place of the mux's own words. Once the gateway is stopping,
// each response is its connection's last; so is one to a body of unsaid length.
type recorder struct {
	http.ResponseWriter
	r        *http.Request
	status   int
	replaced bool
	last     bool // the connection ends with this response
}

func (rec *recorder) WriteHeader(status int) {
	if rec.status != 0 {
		return
	}
	rec.status = status
	if rec.last || isStopping(rec.r.Context()) {
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
		newProblem(status, code, detail).write(rec.ResponseWriter)
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

// label is a status as metrics have it; nothing written means 200.
func label(status int) string {
	if status == 0 {
		return "200"
	}
	return strconv.Itoa(status)
}
