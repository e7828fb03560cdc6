package gateway

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"lonja/internal/refusal"
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
					newProblem(http.StatusInternalServerError, refusal.Internal, "something went wrong on our side").write(rec)
				}
			}
			g.measured.request(r, rec.status, time.Since(began))
		}()
		next.ServeHTTP(rec, r)
	})
}

var (
	nosniff    = []string{"nosniff"}
	lastAnswer = []string{"close"}
)

// recorder remembers a response's status. Where the mux found no route it puts
// a problem in the place of the mux's own words. Once the gateway is stopping,
// each response is its connection's last.
type recorder struct {
	http.ResponseWriter
	r        *http.Request
	status   int
	replaced bool
}

func (rec *recorder) WriteHeader(status int) {
	if rec.status != 0 {
		return
	}
	rec.status = status
	if isStopping(rec.r.Context()) {
		rec.Header()["Connection"] = lastAnswer
	}
	if rec.r.Pattern == "" && (status == http.StatusNotFound || status == http.StatusMethodNotAllowed) {
		code, detail := refusal.NotFound, "there is nothing here; /docs shows what there is"
		if status == http.StatusMethodNotAllowed {
			code, detail = refusal.Invalid, "this cannot be done here; the header Allow says what can"
		}
		newProblem(status, code, detail).write(rec.ResponseWriter)
		rec.replaced = true
		return
	}
	rec.ResponseWriter.WriteHeader(status)
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
