package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lonja/bench/seed"
)

func TestStages_AreThoseThatCanBeSeeded(t *testing.T) {
	for _, test := range []struct {
		scale, held int
		want        []int
	}{
		{1_000, 0, []int{1_000}},
		{10_000, 0, []int{1_000, 10_000}},
		{25_000, 0, []int{1_000, 10_000, 25_000}},
		{100_000, 10_000, []int{10_000, 100_000}},
		{100_000, 20_000, []int{100_000}},
		{10_000, 20_000, []int{20_000}},
	} {
		s := &scale{options: options{scale: test.scale}, state: &seed.State{Orders: test.held}}
		if got := s.stages(); !slices.Equal(got, test.want) {
			t.Errorf("up to %d with %d: %v; want %v", test.scale, test.held, got, test.want)
		}
	}
}

func TestScale_RefusesATooSmallDisk(t *testing.T) {
	s := &scale{options: options{scale: 1 << 40}, data: filepath.Join(t.TempDir(), "none")}
	if err := s.checkSpace(os.TempDir()); err == nil || !strings.Contains(err.Error(), "--data") {
		t.Errorf("orders for %d bytes: %v", int64(s.scale)*diskPerOrder, err)
	}
	s.scale = 1000
	if err := s.checkSpace(os.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestScaleTable_ComparesWithTheSmallestShop(t *testing.T) {
	var table scaleTable
	table.addRate(1_000, "POST order, 64", 200, "fast")
	table.addRate(1_000_000, "POST order, 64", 150, "slower")
	if got := table.cells["POST order, 64"][1_000]; got != "200/s, fast" {
		t.Errorf("%q", got)
	}
	if got := table.cells["POST order, 64"][1_000_000]; got != "150/s (-25%), slower" {
		t.Errorf("%q", got)
	}
}

// Aims are looked up by the names of rows, so each must be one.
func TestAims_AreOfRows(t *testing.T) {
	var rows []string
	for _, w := range scaleWorkloads {
		for _, connections := range w.connections {
			rows = append(rows, fmt.Sprintf("%s, %d", w.name, connections))
		}
	}
	rows = append(rows, "orders view rebuilt", "clean stop, then", "kill -9 under load, then", "memory at rest", "memory at its highest", "streams of a seeded order", "audit", intakeName)
	for row := range aims {
		if !slices.Contains(rows, row) {
			t.Errorf("there is no row %q", row)
		}
	}
}

func TestOptions_CheckWhatGoesTogether(t *testing.T) {
	good := options{duration: time.Second, offered: 900, offeredFor: time.Minute}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for flag, change := range map[string]func(*options){
		"-scale":    func(o *options) { o.scale = 10 },
		"-data":     func(o *options) { o.data = "folder" },
		"-only":     func(o *options) { o.scale, o.only = 1000, "something" },
		"-duration": func(o *options) { o.duration = 0 },
		"-offered":  func(o *options) { o.offered = 0 },
	} {
		o := good
		if change(&o); o.check() == nil || !strings.Contains(o.check().Error(), flag) {
			t.Errorf("%s: %v", flag, o.check())
		}
	}
}

// Whoever offers counts from when an order was due, and takes a 503 for an answer.
func TestPlaceWhenDue_ReportsEveryOrder(t *testing.T) {
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n++; n {
		case 1:
			w.Header().Set("Location", "/api/orders/ord_1")
			w.WriteHeader(http.StatusCreated)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusConflict)
		}
	}))
	defer server.Close()
	s := &shop{http: server.Listener.Addr().String()}
	by := &customer{goods: goods{10, sku}, token: "token"}
	due := make(chan time.Time, 3)
	first := time.Now().Add(-time.Second)
	for range 3 {
		due <- first
	}
	close(due)
	var ids []string
	err := s.placeWhenDue(due, by, func(id string, at time.Time) {
		if ids = append(ids, id); !at.Equal(first) {
			t.Errorf("due %v, not %v", at, first)
		}
	})
	if !slices.Equal(ids, []string{"ord_1", ""}) || err == nil || !strings.Contains(err.Error(), "409") {
		t.Errorf("reported %q, %v", ids, err)
	}
}
