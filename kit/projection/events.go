package projection

import (
	"context"
	"encoding/hex"
	"strings"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// Events returns events of the view's streams from the log, in the order of their places, which
// rows of the view hold. So a row need not hold a copy of what is only shown now and then. The
// error is errs.Unavailable if one of them cannot be read now; then there are none.
func (v *View) Events(ctx context.Context, places []eventlog.Place) ([]eventlog.Record, error) {
	records, err := v.config.Log.AtAll(ctx, places)
	for _, r := range records {
		if err == nil {
			err = r.Err
		}
	}
	if err == nil {
		return records, nil
	}
	if _, coded := errs.As(err); coded {
		return nil, err
	}
	v.config.Logger.Warn("events of a view's rows cannot be read", "view", v.def.Name, "error", err)
	return nil, errs.New(errs.Unavailable, "the log cannot be read now; try again")
}

// compactDigits is how many hexadecimal digits follow the prefix of an id that CompactID makes
// shorter: those of a UUID.
const compactDigits = 32

// CompactID returns the value of a column that holds an id: 16 bytes if the id is the prefix and
// a UUID in lower-case hexadecimal digits without dashes, and the id itself otherwise. Each id has
// one value only, so columns can be compared with it. ExpandID is its inverse.
func CompactID(prefix, id string) any {
	digits, ok := strings.CutPrefix(id, prefix)
	if !ok || len(digits) != compactDigits || strings.ToLower(digits) != digits {
		return id
	}
	short, err := hex.DecodeString(digits)
	if err != nil {
		return id
	}
	return short
}

// ExpandID returns the SQL expression for the id in a column that holds values of CompactID.
func ExpandID(prefix, column string) string {
	return "iif(typeof(" + column + ") = 'blob', '" + prefix + "' || lower(hex(" + column + ")), " + column + ")"
}
