package projection_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
)

func TestView_EventsComeFromTheLogOrNotAtAll(t *testing.T) {
	h := newHarness(t)
	var places []eventlog.Place
	for by := range 20 {
		places = append(places, eventlog.Place{Stream: kittest.Stream, Sequence: h.log.Add("c", by+1)})
	}
	v, stop := h.run(totals)
	t.Cleanup(func() { _ = stop() })
	h.await(v, 20)
	places[0], places[19] = places[19], places[0]
	records, err := v.Events(t.Context(), places)
	if err != nil || len(records) != len(places) {
		t.Fatalf("%d events, %v", len(records), err)
	}
	for i, r := range records {
		if r.Sequence != places[i].Sequence || r.Event.(kittest.Added).By != int(r.Sequence) || r.ID == "" {
			t.Errorf("at %+v is %+v", places[i], r)
		}
	}
	if records, err := v.Events(t.Context(), nil); err != nil || len(records) != 0 {
		t.Errorf("none: %v, %v", records, err)
	}
	stream, err := h.log.JS.Stream(t.Context(), kittest.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	if records, err := v.Events(t.Context(), places); !errs.Is(err, errs.Unavailable) || records != nil {
		t.Errorf("one is lost: %v, %v", records, err)
	}
	if _, err := v.Events(t.Context(), []eventlog.Place{{Stream: "NONE", Sequence: 1}}); !errs.Is(err, errs.Unavailable) {
		t.Errorf("of a stream that is not there: %v", err)
	}
}

func TestCompactID_IsReversedByExpandID(t *testing.T) {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for id, short := range map[string]bool{
		"a_0198f3c27c1e7d50a4a20123456789ab": true, "a_00000000000000000000000000000000": true,
		"a_0198f3c27c1e7d50a4a20123456789AB": false, "b_0198f3c27c1e7d50a4a20123456789ab": false, "0198f3c27c1e7d50a4a20123456789ab": false,
		"a_0198f3c27c1e7d50a4a20123456789a": false, "a_0198f3c27c1e7d50a4a20123456789abc": false, "a_0198f3c2-7c1e-7d50-a4a2-0123456789": false,
		"": false, "a_": false, "a_é198f3c27c1e7d50a4a20123456789a": false,
	} {
		column := projection.CompactID("a_", id)
		if b, ok := column.([]byte); ok != short || short && len(b) != 16 {
			t.Errorf("%q is kept as %v", id, column)
		}
		var again string
		if err := db.QueryRow(`SELECT `+projection.ExpandID("a_", "c")+` FROM (SELECT ? AS c)`, column).Scan(&again); err != nil || again != id {
			t.Errorf("%q came back as %q, %v", id, again, err)
		}
	}
}
