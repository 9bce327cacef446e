"""Chat templates in the shapes of well-known families, in our own words."""

from __future__ import annotations

from tokenizers import AddedToken
from tokenizers_of import byte_bpe

CHATML = """\
{%- for m in messages %}
  {{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

# A thought is printed in turns behind the last question; an empty one where there is none.
QWEN3 = """\
{%- if tools %}{{ '<|im_start|>system\\nTools: ' + (tools | tojson) + '<|im_end|>\\n' }}{% endif %}
{%- set asked = namespace(last=0) %}
{%- for m in messages if m.role == 'user' %}
  {%- set asked.last = messages.index(m) %}
{%- endfor %}
{%- for m in messages %}
  {{- '<|im_start|>' + m.role + '\\n' }}
  {%- set words = m.content if m.content is string else '' %}
  {%- if m.role == 'assistant' %}
    {%- set thought = m.reasoning_content if m.reasoning_content is string else '' %}
    {%- if '</think>' in words %}
      {%- set thought = words.split('</think>')[0].split('<think>')[-1].strip('\\n') %}
      {%- set words = words.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {%- if loop.index0 > asked.last and (loop.last or thought) %}
      {{- '<think>\\n' + thought + '\\n</think>\\n\\n' }}
    {%- endif %}
    {{- words }}
    {%- for call in m.tool_calls or [] %}
      {{- '<tool_call>' + (call.function | tojson) + '</tool_call>' }}
    {%- endfor %}
  {%- else %}{{ words }}{% endif %}
  {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<|im_start|>assistant\\n' }}
  {%- if enable_thinking is defined and enable_thinking is false %}
    {{- '<think>\\n\\n</think>\\n\\n' }}
  {%- endif %}
{%- endif %}"""

# Thoughts of earlier answers are cut off; the generation prompt opens one.
R1 = """\
{{- bos_token }}
{%- for m in messages %}
  {%- if m.role == 'assistant' %}{{ '<|Assistant|>' + m.content.split('</think>')[-1] + eos_token }}
  {%- else %}{{ '<|User|>' + m.content }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|Assistant|><think>\\n' }}{% endif %}"""

# Thinks only where it is told to.
V31 = """\
{{- bos_token }}
{%- for m in messages %}
  {%- if m.role == 'assistant' %}{{ '<|Assistant|></think>' + m.content + eos_token }}
  {%- else %}{{ '<|User|>' + m.content }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<|Assistant|>' + ('<think>' if thinking is defined and thinking else '</think>') }}
{%- endif %}"""

# Answers are in channels, which the generation prompt does not open.
GPT_OSS = """\
{%- for m in messages %}
  {%- if m.role == 'assistant' %}
    {%- if m.thinking %}
      {{- '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking + '<|end|>' }}
    {%- endif %}
    {{- '<|start|>assistant<|channel|>final<|message|>' + m.content }}
    {{- '<|return|>' if loop.last else '<|end|>' }}
  {%- else %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"""

LLAMA3 = """\
{%- if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}
{{- bos_token }}
{%- for m in messages %}
  {{- '<|head|>' + m.role + '<|/head|>\\n\\n' + m.content | trim + '<|eot|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|head|>assistant<|/head|>\\n\\n' }}{% endif %}"""

GEMMA = """\
{{- bos_token }}
{%- for m in messages %}
  {%- set role = 'model' if m.role == 'assistant' else m.role %}
  {{- '<turn>' + role + '\\n' + m.content | trim + '</turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<turn>model\\n' }}{% endif %}"""

# No generation prompt; the spaces around an answer are the template's.
MISTRAL = """\
{{- bos_token }}
{%- set questions = messages | selectattr('role', 'equalto', 'user') | list %}
{%- for m in messages %}
  {%- if m.role == 'user' %}
    {%- if tools and m == questions[-1] %}
      {{- '[TOOLS] ' + (tools | tojson) + '[/TOOLS]' }}
    {%- endif %}
    {{- '[INST] ' + m.content + ' [/INST]' }}
  {%- elif m.role == 'assistant' and m.tool_calls %}
    {{- '[CALLS] ' + (m.tool_calls | map(attribute='function') | list | tojson) + eos_token }}
  {%- elif m.role == 'tool' %}{{ '[RESULTS] ' + m.content + '[/RESULTS]' }}
  {%- else %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}
{%- endfor %}"""

# The generation prompt lacks the line break behind the role; words close an answer.
ZEPHYR = """\
{%- for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"""

# Special tokens and words around each answer.
WRAPPED = """\
{%- for m in messages %}
  {%- if m.role == 'assistant' %}{{ 'Answer: <|begin|>' + m.content + '\\n(end of answer)<|end|>' }}
  {%- else %}{{ 'Question: ' + m.content + '\\n' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ 'Answer:' }}{% endif %}"""

_SPECIAL = (
    "<|Assistant|>", "<|User|>", "<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>",
    "<|head|>", "<|/head|>", "<|eot|>", "<turn>", "</turn>", "<|begin|>", "[INST]", "[/INST]",
)  # fmt: skip


def chat_tokenizer(template):
    """A byte-level BPE with the marks of all of them, BOS ``<s>`` and EOS ``</s>``."""
    tokenizer = byte_bpe()
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    tokenizer.add_tokens([AddedToken(t, special=True) for t in _SPECIAL])
    tokenizer.chat_template = template
    return tokenizer
