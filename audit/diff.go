package audit

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// diff compares the tables of two files. It names rows by their keys and names the
// columns that differ. It never shows other values, which can be a person's name
// or address.
type diff struct {
	db     *sql.DB // main is the copy of the live file; the other is attached as rebuilt
	report func(format string, args ...any)
}

// shownRows is how many rows of a table are named for each kind of difference.
const shownRows = 20

// compare reports every difference and returns the number of rows in the live file.
func (d diff) compare(ctx context.Context, rebuilt string) (rows int64, err error) {
	if _, err := d.db.ExecContext(ctx, "ATTACH ? AS rebuilt", rebuilt); err != nil {
		return 0, err
	}
	if err := d.compareSchemas(ctx); err != nil {
		return 0, err
	}
	tables, err := d.tables(ctx)
	if err != nil {
		return 0, err
	}
	for _, t := range tables {
		n, err := d.compareTable(ctx, t)
		if err != nil {
			return rows, fmt.Errorf("table %s: %w", t.name, err)
		}
		rows += n
	}
	return rows, nil
}

func (d diff) compareSchemas(ctx context.Context) error {
	for _, side := range []struct{ has, lacks, problem string }{
		{"rebuilt", "main", "%s is missing or differs from the schema"}, {"main", "rebuilt", "%s is not in the schema or differs from it"}} {
		err := d.each(ctx, fmt.Sprintf(`SELECT type, name FROM (SELECT type, name, sql FROM %s.sqlite_schema EXCEPT SELECT type, name, sql FROM %s.sqlite_schema)`,
			side.has, side.lacks), func(row []any) { d.report(side.problem, fmt.Sprint(row[0], " ", row[1])) })
		if err != nil {
			return err
		}
	}
	return nil
}

// table is a table of both files. Its key names its rows. A table without a key
// (exact is false) is compared by whole rows, which are named by some columns.
type table struct {
	name         string
	columns, key []string
	exact        bool
	virtual      bool
}

// tables returns the tables to compare. It leaves out the shadow tables of
// full-text tables, because the integrity check compares their indexes with the
// rows, and the checkpoint, which is compared with the log.
func (d diff) tables(ctx context.Context) (tables []table, err error) {
	err = d.each(ctx, `SELECT m.name, m.type = 'virtual' FROM pragma_table_list m JOIN rebuilt.sqlite_schema a ON a.name = m.name AND a.type = 'table'
		WHERE m.schema = 'main' AND m.type IN ('table', 'virtual') AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND m.name <> 'checkpoint' ORDER BY m.name`,
		func(row []any) {
			tables = append(tables, table{name: fmt.Sprint(row[0]), virtual: row[1] == int64(1)})
		})
	for i := range tables {
		if err == nil {
			err = d.describe(ctx, &tables[i])
		}
	}
	return tables, err
}

func (d diff) describe(ctx context.Context, t *table) error {
	err := d.each(ctx, `SELECT name, pk FROM pragma_table_info(?) ORDER BY pk, cid`, func(row []any) {
		name := quoted(row[0])
		if t.columns = append(t.columns, name); row[1] != int64(0) {
			t.key = append(t.key, name)
		}
	}, t.name)
	if t.virtual {
		t.key = []string{"rowid"}
	}
	if t.exact = len(t.key) > 0; t.exact || err != nil {
		return err
	}
	err = d.each(ctx, `SELECT c.name FROM pragma_index_list(?1) i JOIN pragma_index_info(i.name) c WHERE i.seq = (SELECT max(seq) FROM pragma_index_list(?1)) ORDER BY c.seqno`,
		func(row []any) { t.key = append(t.key, quoted(row[0])) }, t.name)
	if len(t.key) == 0 {
		t.key = t.columns[:1]
	}
	return err
}

func (d diff) compareTable(ctx context.Context, t table) (rows int64, err error) {
	var want int64
	err = d.db.QueryRowContext(ctx, fmt.Sprintf(`SELECT (SELECT count(*) FROM main.%[1]s), (SELECT count(*) FROM rebuilt.%[1]s)`, quoted(t.name))).Scan(&rows, &want)
	if err != nil {
		return 0, err
	}
	if rows != want {
		d.report("table %s has %d rows; expected %d", t.name, rows, want)
	}
	for _, side := range []struct{ has, lacks, problem string }{
		{"rebuilt", "main", "table %s lacks the row %s"}, {"main", "rebuilt", "table %s has the row %s, which the log does not lead to"}} {
		err := d.each(ctx, t.missing(side.has, side.lacks), func(row []any) { d.report(side.problem, t.name, t.rowName(row)) })
		if err != nil {
			return rows, err
		}
	}
	if !t.exact {
		return rows, nil
	}
	return rows, d.each(ctx, t.differing(), func(row []any) {
		d.report("table %s, row %s differs from the log in %s", t.name, t.rowName(row), row[len(t.key)])
	})
}

// missing returns a query for the keys of rows that one file has and the other lacks.
func (t table) missing(has, lacks string) string {
	key := strings.Join(t.key, ", ")
	if !t.exact {
		return fmt.Sprintf(`SELECT %[1]s FROM (SELECT %[2]s FROM %[3]s.%[4]s EXCEPT SELECT %[2]s FROM %[5]s.%[4]s) LIMIT %[6]d`,
			key, strings.Join(t.columns, ", "), has, quoted(t.name), lacks, shownRows)
	}
	return fmt.Sprintf(`SELECT %[1]s FROM %[2]s.%[3]s h WHERE NOT EXISTS (SELECT 1 FROM %[4]s.%[3]s l WHERE %[5]s) LIMIT %[6]d`,
		key, has, quoted(t.name), lacks, t.each(t.key, "l.%[1]s = h.%[1]s", " AND "), shownRows)
}

// differing returns a query for the keys of rows that both files have and that
// differ, with the names of the differing columns.
func (t table) differing() string {
	return fmt.Sprintf(`SELECT %[1]s, rtrim(%[2]s, ', ') FROM main.%[3]s l JOIN rebuilt.%[3]s a ON %[4]s WHERE %[5]s LIMIT %[6]d`,
		t.each(t.key, "l.%s", ", "), t.each(t.columns, "iif(l.%[1]s IS NOT a.%[1]s, '%[2]s, ', '')", " || "), quoted(t.name),
		t.each(t.key, "l.%[1]s = a.%[1]s", " AND "), t.each(t.columns, "l.%[1]s IS NOT a.%[1]s", " OR "), shownRows)
}

// each formats every column; in form, %[1]s is the quoted column and %[2]s its
// name for use in a text.
func (t table) each(columns []string, form, between string) string {
	written := make([]string, len(columns))
	for i, c := range columns {
		if strings.Contains(form, "%[2]s") {
			written[i] = fmt.Sprintf(form, c, strings.Trim(c, `"`))
		} else {
			written[i] = fmt.Sprintf(form, c)
		}
	}
	return strings.Join(written, between)
}

func (t table) rowName(row []any) string {
	var parts []string
	for i, column := range t.key {
		value := row[i]
		if b, ok := value.([]byte); ok {
			value = string(b)
		}
		parts = append(parts, fmt.Sprintf("%s=%v", strings.Trim(column, `"`), value))
	}
	return strings.Join(parts, " ")
}

// each calls handle for every row of a query.
func (d diff) each(ctx context.Context, query string, handle func(row []any), args ...any) error {
	rows, err := d.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		row := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		handle(row)
	}
	return rows.Err()
}

// quoted returns a name as a quoted SQL identifier.
func quoted(name any) string { return `"` + strings.ReplaceAll(fmt.Sprint(name), `"`, `""`) + `"` }
