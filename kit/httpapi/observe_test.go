package httpapi

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestObserver_TurnsPanicIntoProblemAndLogsIt(t *testing.T) {
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	metrics, err := newMetrics(registry, "counters")
	if err != nil {
		t.Fatal(err)
	}
	o := observer{metrics, slog.New(slog.NewTextHandler(&log, nil)), "counters"}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /early", func(http.ResponseWriter, *http.Request) { panic("a secret") })
	mux.HandleFunc("GET /late", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		panic("too late")
	})
	mux.HandleFunc("GET /abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		o.wrap(mux).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w
	}

	w := get("/early")
	if w.Code != 500 || w.Header().Get("Content-Type") != "application/problem+json" || !strings.Contains(w.Body.String(), `"code":"internal"`) || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if !strings.Contains(log.String(), "a secret") || !strings.Contains(log.String(), "GET /early") {
		t.Errorf("logged %s", &log)
	}
	if w := get("/late"); w.Code != http.StatusAccepted || w.Body.Len() != 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("the server was not told to abort")
		}
	}()
	get("/abort")
}
