package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestConnection_ReadsEveryAnswerToItsEnd(t *testing.T) {
	long := strings.Repeat("0123456789", 10_000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/short":
			fmt.Fprintf(w, "%s %s %s", r.Method, r.Host, r.Header.Get("Prefer"))
		case "/chunked":
			fmt.Fprint(w, long[:10])
			w.(http.Flusher).Flush()
			fmt.Fprint(w, long[10:])
		case "/made":
			body := make([]byte, r.ContentLength)
			r.Body.Read(body)
			w.Header().Set("Location", "/made/1")
			w.WriteHeader(http.StatusCreated)
			w.Write(body)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer server.Close()
	host := server.Listener.Addr().String()
	c, err := connect(host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	// One connection for all: each answer must be read to its very end.
	for range 2 {
		for _, want := range []struct {
			method, path, body string
			status             int
			answer, location   string
		}{
			{"GET", "/short", "", 200, "GET " + host + " wait=10", ""},
			{"GET", "/chunked", "", 200, long, ""},
			{"GET", "/none", "", 204, "", ""},
			{"POST", "/made", `{"a":1}`, 201, `{"a":1}`, "/made/1"},
		} {
			var body []byte
			if want.body != "" {
				body = []byte(want.body)
			}
			got, err := c.roundTrip(c.request(want.method, want.path, host, body, field{"Prefer", "wait=10"}))
			if err != nil {
				t.Fatalf("%s: %v", want.path, err)
			}
			if got.status != want.status || string(got.body) != want.answer || got.location != want.location {
				t.Errorf("%s: %d, %d bytes, %q", want.path, got.status, len(got.body), got.location)
			}
		}
	}
}

func TestResult_Percentile(t *testing.T) {
	var r result
	for i := range 100 {
		r.latencies = append(r.latencies, time.Duration(i+1))
	}
	for p, want := range map[float64]time.Duration{0: 1, 50: 51, 99: 100, 100: 100} {
		if got := r.percentile(p); got != want {
			t.Errorf("percentile(%v) = %v; want %v", p, got, want)
		}
	}
	if got := (result{}).percentile(50); got != 0 {
		t.Errorf("percentile of nothing is %v", got)
	}
}

func TestLoad_MeasuresEveryOperation(t *testing.T) {
	counts := make([]int, 3)
	r, err := load(t.Context(), 3, 20*time.Millisecond, func(_ context.Context, worker int) error {
		counts[worker]++
		return nil
	})
	if sum := counts[0] + counts[1] + counts[2]; err != nil || r.count != sum || len(r.latencies) != sum || r.took < 20*time.Millisecond {
		t.Errorf("counted %v, measured %d in %v, %v", counts, r.count, r.took, err)
	}
	wrong := errors.New("wrong")
	if _, err := load(t.Context(), 3, time.Minute, func(_ context.Context, worker int) error {
		if worker == 1 {
			return wrong
		}
		return nil
	}); !errors.Is(err, wrong) {
		t.Errorf("load went on in spite of an error: %v", err)
	}
}

func TestProcess_EndsWithItsParent(t *testing.T) {
	if _, err := start(t.Context(), "/bin/sh", "-c", "exit 3"); err == nil {
		t.Error("a program that was never ready is ready")
	}
	p, err := start(t.Context(), "/bin/sh", "-c", "echo nats nats://somewhere; echo ready; read x")
	if err != nil {
		t.Fatal(err)
	}
	if p.output["nats"] != "nats://somewhere" {
		t.Errorf("it said %q", p.output)
	}
	if now, peak, err := p.memory(); err != nil || now == 0 || peak < now {
		t.Errorf("memory %d, peak %d, %v", now, peak, err)
	}
	if _, err := p.cpu(); err != nil {
		t.Error(err)
	}
	p.stdin.Close()
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		t.Error("it does not end")
	}
}

func TestWatchPeak_IsNotThatOfTheParent(t *testing.T) {
	const large = 128 << 20
	ours := make([]byte, large)
	for at := 0; at < len(ours); at += 1024 { // so that it is resident
		ours[at] = 1
	}
	cmd := exec.CommandContext(t.Context(), "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	peak := watchPeak(cmd.Process.Pid)
	if got := peak(); got <= 0 || got >= large {
		t.Errorf("a small program took %d MB at its highest, beside our %d", got>>20, len(ours)>>20)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
