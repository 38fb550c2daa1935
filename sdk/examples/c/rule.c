// Counts, for each source, the events whose number is above a threshold, and raises an alert when there are many.
#include <stdlib.h>
#include <string.h>

#include "rule_plugin.h"

// Most sources that are remembered: what `save` answers must fit into 1 MiB. SLOTS is a power of two.
enum { MAX_SOURCES = 2000, SLOTS = 4096 };

typedef struct {
  rule_plugin_string_t name;
  uint64_t count;
} source_t;

static double threshold;
static uint64_t many;
static source_t sources[MAX_SOURCES];
static size_t known;
// The number of a source plus one, at the place that its name hashes to or one behind it; 0 is free. At most half are taken.
static uint32_t table[SLOTS];

static bool same(const uint8_t *one, const uint8_t *other, size_t length) {
  while (length && *one == *other) one++, other++, length--;
  return !length;
}

static size_t slot_of(const uint8_t *name, size_t length) {
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < length; i++) hash = (hash ^ name[i]) * 16777619u;
  size_t at = hash & (SLOTS - 1);
  for (; table[at]; at = (at + 1) & (SLOTS - 1)) {
    rule_plugin_string_t *other = &sources[table[at] - 1].name;
    if (other->len == length && same(other->ptr, name, length)) break;
  }
  return at;
}

// The number of a source plus one, a new one where the name is new; 0 when there is no room for another.
static uint32_t number_of(const uint8_t *name, size_t length) {
  size_t slot = slot_of(name, length);
  if (!table[slot] && known < MAX_SOURCES) {
    rule_plugin_string_dup_n(&sources[known].name, (const char *)name, length);
    table[slot] = ++known;
  }
  return table[slot];
}

// The number behind `"key":`. The hub has checked the configuration against the schema of plugin.toml, so it is there.
static double setting(const rule_plugin_string_t *json, const char *key) {
  size_t length = strlen(key), at = 0;
  while (at + length < json->len && !same(json->ptr + at, (const uint8_t *)key, length)) at++;
  double value = 0, divisor = 1;
  bool negative = false, fraction = false;
  for (at += length; at < json->len; at++) {
    uint8_t c = json->ptr[at];
    if (c == '-') negative = true;
    else if (c == '.') fraction = true;
    else if (c >= '0' && c <= '9') value = 10 * value + (c - '0'), divisor *= fraction ? 10 : 1;
    else break;
  }
  value /= divisor;
  if (at < json->len && (json->ptr[at] == 'e' || json->ptr[at] == 'E')) {
    bool down = false;
    int exponent = 0;
    for (at++; at < json->len && json->ptr[at] != ',' && json->ptr[at] != '}'; at++) {
      if (json->ptr[at] == '-') down = true;
      else if (json->ptr[at] != '+' && exponent < 400) exponent = 10 * exponent + (json->ptr[at] - '0');
    }
    for (; exponent > 0; exponent--) value = down ? value / 10 : value * 10;
  }
  return negative ? -value : value;
}

// The state: of each source its count, the length of its name, and the name.
bool exports_streamflow_plugin_rule_init(rule_plugin_string_t *config, rule_plugin_list_u8_t *state, rule_plugin_string_t *error) {
  (void)error;
  threshold = setting(config, "\"threshold\":");
  many = (uint64_t)setting(config, "\"many\":");
  for (size_t at = 0; state && at < state->len;) {
    uint64_t count;
    uint32_t length;
    memcpy(&count, state->ptr + at, 8);
    memcpy(&length, state->ptr + at + 8, 4);
    uint32_t number = number_of(state->ptr + at + 12, length);
    if (number) sources[number - 1].count = count;
    at += 12 + length;
  }
  if (state) rule_plugin_list_u8_free(state);

  const char words[] = "counting with ";
  size_t before = sizeof words - 1;
  rule_plugin_string_t line = {.ptr = malloc(before + config->len), .len = before + config->len};
  memcpy(line.ptr, words, before);
  memcpy(line.ptr + before, config->ptr, config->len);
  streamflow_plugin_log_write(STREAMFLOW_PLUGIN_LOG_VERBOSITY_DEBUG, &line);
  rule_plugin_string_free(&line);
  rule_plugin_string_free(config);
  return true;
}

static void raise_alert(exports_streamflow_plugin_rule_list_alert_t *alerts, const source_t *source, uint32_t row) {
  alerts->ptr = realloc(alerts->ptr, (alerts->len + 1) * sizeof *alerts->ptr);
  streamflow_plugin_types_alert_t *alert = &alerts->ptr[alerts->len++];
  *alert = (streamflow_plugin_types_alert_t){.rows = {.ptr = malloc(sizeof row), .len = 1}};
  alert->rows.ptr[0] = row;
  rule_plugin_string_dup_n(&alert->key, (const char *)source->name.ptr, source->name.len);
  rule_plugin_string_dup(&alert->title, "many");
}

// Columns, not events.
bool exports_streamflow_plugin_rule_on_events(exports_streamflow_plugin_rule_batch_t *events, exports_streamflow_plugin_rule_list_alert_t *alerts,
                                              rule_plugin_string_t *error) {
  (void)error;
  *alerts = (exports_streamflow_plugin_rule_list_alert_t){0};
  const streamflow_plugin_types_text_column_t *texts = &events->source;
  const streamflow_plugin_types_column_t *column = &events->columns.ptr[0];
  const double *values = column->data.val.float_.ptr;
  const uint8_t *present = column->present.is_some ? column->present.val.ptr : NULL;
  // Each text is looked up when its first row counts.
  uint32_t *numbers = malloc(texts->ends.len * sizeof *numbers);
  for (size_t i = 0; i < texts->ends.len; i++) numbers[i] = 0;
  for (uint32_t row = 0; row < events->count; row++) {
    if (!(values[row] > threshold) || (present && !(present[row >> 3] >> (row & 7) & 1))) continue;
    size_t text = texts->index.ptr[row], begin = text ? texts->ends.ptr[text - 1] : 0;
    if (!numbers[text]) numbers[text] = number_of(texts->texts.ptr + begin, texts->ends.ptr[text] - begin);
    if (!numbers[text]) continue;
    source_t *source = &sources[numbers[text] - 1];
    if (++source->count == many) raise_alert(alerts, source, row);
  }
  free(numbers);
  exports_streamflow_plugin_rule_batch_free(events);
  return true;
}

bool exports_streamflow_plugin_rule_on_tick(exports_streamflow_plugin_rule_timestamp_t now, exports_streamflow_plugin_rule_list_alert_t *alerts,
                                            rule_plugin_string_t *error) {
  (void)now, (void)error;
  *alerts = (exports_streamflow_plugin_rule_list_alert_t){0};
  return true;
}

bool exports_streamflow_plugin_rule_save(rule_plugin_list_u8_t *state, rule_plugin_string_t *error) {
  (void)error;
  state->len = 0;
  for (size_t i = 0; i < known; i++) state->len += 12 + sources[i].name.len;
  state->ptr = state->len ? malloc(state->len) : NULL;
  uint8_t *at = state->ptr;
  for (size_t i = 0; i < known; i++) {
    uint32_t length = sources[i].name.len;
    memcpy(at, &sources[i].count, 8);
    memcpy(at + 8, &length, 4);
    memcpy(at + 12, sources[i].name.ptr, length);
    at += 12 + length;
  }
  return true;
}
