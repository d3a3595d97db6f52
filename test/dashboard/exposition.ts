/**
 * @file A strict reader of Prometheus' text format 0.0.4: whatever a lenient one would let pass is an error here. Source:
 * prometheus.io, "Exposition formats".
 */

export interface Metric {
  readonly type: string;
  readonly help: string;
  /** In their order: name with its suffix, labels, value. */
  readonly samples: readonly {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly value: number;
  }[];
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const HELP = new RegExp(`^# HELP (${NAME}) ((?:[^\\\\]|\\\\\\\\|\\\\n)*)$`);
const TYPE = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram|summary|untyped)$`);
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (NaN|[+-]Inf|-?\\d+(?:\\.\\d+)?(?:e[+-]?\\d+)?)$`);
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(?:,(?=.)|$)/;

/** Metrics by name. @throws Error naming the line */
export function parseExposition(text: string): ReadonlyMap<string, Metric> {
  if (!text.endsWith('\n')) throw new Error('the last line has no line feed');
  const metrics = new Map<string, Metric & { samples: Metric['samples'][number][] }>();
  const lines = text.slice(0, -1).split('\n');
  const seen = new Set<string>();
  let current: [name: string, metric: Metric & { samples: Metric['samples'][number][] }] | null = null;
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? '';
    const wrong = (what: string): Error => new Error(`line ${at + 1}: ${what}: ${JSON.stringify(line)}`);
    const help = HELP.exec(line);
    if (help) {
      const type = TYPE.exec(lines[++at] ?? '');
      const [, name = '', words = ''] = help;
      if (type?.[1] !== name) throw wrong('HELP must be followed by TYPE of the same metric');
      if (metrics.has(name)) throw wrong('metric twice');
      current = [name, { type: type[2] ?? '', help: words, samples: [] }];
      metrics.set(...current);
      continue;
    }
    const [, name = '', labelText, value = ''] = SAMPLE.exec(line) ?? [];
    if (name === '' || !current) throw wrong('neither HELP nor a sample');
    const [metricName, { type, samples }] = current;
    const suffixes = type === 'summary' ? ['', '_sum', '_count'] : [''];
    if (!suffixes.some((suffix) => name === metricName + suffix)) throw wrong('sample of another metric');
    const labels = labelText === undefined ? {} : labelsOf(labelText, wrong);
    const series = `${name} ${JSON.stringify(Object.entries(labels).sort())}`;
    if (seen.has(series)) throw wrong('series twice');
    seen.add(series);
    samples.push({ name, labels, value: Number(value.replace('Inf', 'Infinity')) });
  }
  for (const [name, { samples }] of metrics) if (samples.length === 0) throw new Error(`${name} has no samples`);
  return metrics;
}

function labelsOf(text: string, wrong: (what: string) => Error): Record<string, string> {
  const labels: Record<string, string> = {};
  for (let rest = text; rest !== ''; ) {
    const [whole, name, value] = LABEL.exec(rest) ?? [];
    if (whole === undefined || name === undefined || value === undefined) throw wrong('label');
    if (name in labels) throw wrong('label twice');
    labels[name] = value.replaceAll(/\\(.)/g, (_, letter: string) => (letter === 'n' ? '\n' : letter));
    rest = rest.slice(whole.length);
  }
  return labels;
}
